"""What was done to make a model, and in what two of them differ."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError, model_validator

from lmim_kedro.errors import InputError
from lmim_kedro.params import (
    FinetuningParams,
    ModelParams,
    Parameters,
    Params,
    PretrainingParams,
    SelftrainParams,
    ViewPreset,
    pick,
)
from lmim_kedro.registries import METHODS

FREE = ("image_width", "position_columns", "keep_ratio")
"""Sizes of a model in which it may differ from the one whose weights it takes over: no weight depends on them."""

RENAMED = {"optimisation": "optimization"}
"""Parameters under other names in recipes and configs of earlier versions."""
RENAMED_VALUES = {("input", "grey"): "gray"}


def up_to_date(saved: Any) -> Any:
    """Bring what an earlier version saved to today's names.

    Args:
        saved: a recipe or a config, of plain values; it is not changed.

    Example:
        >>> up_to_date({"model": {"input": "grey"}, "finetuning": {"optimisation": {"steps": 3}}})
        {'model': {'input': 'gray'}, 'finetuning': {'optimization': {'steps': 3}}}
    """
    if not isinstance(saved, dict):
        return saved
    changed = {RENAMED.get(name, name): up_to_date(value) for name, value in saved.items()}
    return changed | {name: new for (name, old), new in RENAMED_VALUES.items() if changed.get(name) == old}


class Recipe(Params):
    """What was done to make a model: written beside it after its training, and printed in every report.

    Attributes:
        sha256: of the file of weights that it made; None: not made yet, or by an earlier version.
        encoder_sha256: of the file of weights of the encoder that fine-tuning began with; None: as before, or it began
            with a whole recognizer.
    """

    variant: str
    env: str
    seed: int
    model_name: str
    model: ModelParams
    views: ViewPreset
    views_name: str
    pretraining: PretrainingParams
    finetuning: FinetuningParams
    selftrain: SelftrainParams | None = None
    """Only of a recognizer that was also trained on readings."""
    rotate_tall: float | None = None
    """ingest.rotate_tall: crops that are taller are turned, at ingest and wherever the recognizer reads."""
    sha256: str | None = None
    encoder_sha256: str | None = None

    _of_earlier_versions = model_validator(mode="before")(up_to_date)


def saved_recipe(saved: Any, where: str) -> Recipe:
    """The recipe that was saved beside a model, as plain values.

    Args:
        saved: what the file holds.
        where: the file, for the error.

    Errors: InputError if it is no recipe.

    Example:
        >>> saved_recipe({"seed": 0}, "recipe.json")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        lmim_kedro.errors.InputError: recipe.json holds no recipe (variant: Field required; and ... more): it is ...
    """
    try:
        return Recipe.model_validate(saved)
    except ValidationError as error:
        raise InputError(
            f"{where} holds no recipe ({in_brief(error)}): it is damaged, or from another version; make the model again"
        ) from error


def in_brief(error: ValidationError) -> str:
    """What is wrong, in a few words on one line.

    Example:
        >>> try:
        ...     Recipe.model_validate({"seed": "x"})
        ... except ValidationError as error:
        ...     print(in_brief(error).partition(";")[0])
        variant: Field required
    """
    first, *others = error.errors()
    said = f"{'.'.join(map(str, first['loc'])) or 'all of it'}: {first['msg'].removeprefix('Value error, ')}"
    return " ".join(said.split()) + (f"; and {len(others)} more" if others else "")


def needs_teacher(pretraining: PretrainingParams) -> bool:
    """Whether the method predicts features of a frozen encoder."""
    return METHODS[pretraining.method].needs_teacher(pretraining)


def teacher_of(parameters: Parameters) -> str:
    """Whose teacher a variant learns from: `teacher`, which all share, or its own, under the variant's name.

    A variant has its own if it changes the model or the teacher's training, or if its teacher is an untrained encoder.
    """
    pretraining = parameters.pretraining
    changes = parameters.variants.get(parameters.variant, {})
    trained = needs_teacher(pretraining) and pretraining.target == "mae_features"
    own = changes.keys() & {"model", "models", "seed"} or "teacher" in changes.get("pretraining", {})
    return "teacher" if trained and not own else parameters.variant


def resolve_recipe(parameters: Mapping[str, Any] | Parameters) -> Recipe:
    """What the parameters of a run mean for the model it makes.

    Args:
        parameters: all of them, as `config.merge_and_check` returns them: variant and command line merged in.

    Errors: InputError for a model or views preset that is not defined.
    """
    chosen = parameters if isinstance(parameters, Parameters) else Parameters.model_validate(parameters)
    return Recipe(
        variant=chosen.variant,
        env=chosen.env,
        seed=chosen.seed,
        model_name=chosen.model,
        model=pick(chosen.models, chosen.model, "model"),
        views=pick(chosen.view_presets, chosen.views.preset, "views.preset"),
        views_name=chosen.views.preset,
        pretraining=chosen.pretraining,
        finetuning=chosen.finetuning,
        rotate_tall=chosen.ingest.rotate_tall,
    )


def encoder_differences(one: ModelParams, other: ModelParams) -> list[str]:
    """The sizes in which two encoders differ; those of what stands on an encoder are left out."""
    sizes = (name for name in ModelParams.model_fields if name != "recognizer" and not name.startswith("decoder_"))
    return [name for name in sizes if getattr(one, name) != getattr(other, name)]


def resolve_finetuning(asked: Recipe, made: Recipe) -> Recipe:
    """The recipe of a recognizer: what its encoder was pre-trained with, and how it is fine-tuned now.

    Args:
        asked: of this run.
        made: written beside the encoder.

    Errors: InputError if this run asks for an encoder of other sizes than the one that was pre-trained.
    """
    sizes, made_sizes = asked.model.model_dump(), made.model.model_dump()
    free = ("recognizer", *FREE)
    other = [name for name in sizes if name not in free and sizes[name] != made_sizes[name]]
    if other:
        raise InputError(
            f"`model` is {asked.model_name!r}, but the encoder was pre-trained as {made.model_name!r}, which differs "
            f"in {', '.join(other)}: choose that model, or pre-train again with `kedro run --pipelines=pretrain`"
        )
    of_this_run = {name: getattr(asked, name) for name in ("model", "model_name", "finetuning", "rotate_tall")}
    return made.model_copy(update=of_this_run | {"sha256": None, "encoder_sha256": made.sha256})


def require_pair(recipe: Mapping[str, Any], sha256: str | None, what: str, mend: str) -> None:
    """Check that a recipe belongs to a model, or to something that the model made.

    Args:
        recipe: as plain values.
        sha256: of the file of weights of that model; None: an earlier version did not note it, and nothing is checked.
        what: the model, or what it made, in words: `the recognizer in data/06_models/...`.
        mend: the command that makes the older one anew.

    Errors: InputError if both are known and differ.

    Example:
        >>> require_pair({"sha256": "ab12"}, "cd34", "the recognizer in r", "kedro run --nodes=note_recipe")
        Traceback (most recent call last):
        lmim_kedro.errors.InputError: the recognizer in r and the recipe of this run do not belong together (... of ...
    """
    said = recipe.get("sha256")
    if said is not None and sha256 is not None and said != sha256:
        raise InputError(
            f"{what} and the recipe of this run do not belong together (checksums of the weights: {sha256[:12]} and "
            f"{said[:12]}): a run was stopped between them, or one was replaced; run `{mend}` with the same --env and "
            "--params"
        )


def changes(made: Mapping[str, Any], asked: Recipe, *groups: str) -> list[str]:
    """What differs between the recipe that a model was made with and the one that is asked for now.

    Args:
        made: as plain values, of any version.
        asked: of this run.
        groups: the parts that matter: names of fields, or of fields of fields, as `pretraining.teacher`.
    """
    before, now, found = up_to_date(dict(made)), asked.model_dump(mode="json"), []
    for group in groups:
        old, new = before, now
        for part in group.split("."):
            old, new = old.get(part, {}), new[part]
        found += differences(old, new, group)
    return found


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """What differs between two nested mappings of plain values: `a.b was 1, is 2`, in the order of names.

    What is null, false or empty on one side may be absent on the other, as the parameters that came later are.

    Example:
        >>> differences({"steps": 3}, {"steps": 4, "ema": None})
        ['steps was 3, is 4']
    """
    if isinstance(before, dict) and isinstance(now, dict):
        found = []
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else key
            found += differences(before.get(key, "absent"), now.get(key, "absent"), inner)
        return found
    unset: tuple[Any, ...] = ("absent", None, [], ())
    off = "absent" in (before, now) and (before is False or now is False)
    return [] if before == now or off or (before in unset and now in unset) else [f"{name} was {before}, is {now}"]
