"""What was done to make a model, and in what two of them differ."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError, model_validator

from lmim_kedro.errors import InputError
from lmim_kedro.params import FinetuningParams, ModelParams, Parameters, Params, PretrainingParams, ViewPreset, pick
from lmim_kedro.registries import METHODS

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
    """What was done to make a model: written beside every checkpoint and printed in every report."""

    variant: str
    env: str
    seed: int
    model_name: str
    model: ModelParams
    views: ViewPreset
    views_name: str
    pretraining: PretrainingParams
    finetuning: FinetuningParams

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
    other = [name for name in sizes if name != "recognizer" and sizes[name] != made_sizes[name]]
    if other:
        raise InputError(
            f"`model` is {asked.model_name!r}, but the encoder was pre-trained as {made.model_name!r}, which differs "
            f"in {', '.join(other)}: choose that model, or pre-train again with `kedro run --pipelines=pretrain`"
        )
    chosen = {"model": asked.model, "model_name": asked.model_name, "finetuning": asked.finetuning}
    return made.model_copy(update=chosen)


def differences(before: Any, now: Any, name: str = "") -> list[str]:
    """What differs between two nested mappings of plain values: `a.b was 1, is 2`, in the order of names.

    What is null or empty on one side may be absent on the other, as the parameters that came later are.

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
    return [] if before == now or (before in unset and now in unset) else [f"{name} was {before}, is {now}"]
