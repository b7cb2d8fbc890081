"""A folder that holds a model, looked at without torch: mistakes in a path are found before torch is imported."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lmim_kedro.errors import InputError
from lmim_kedro.files import SUMS, damaged, read_json
from lmim_kedro.models.hub import SCHEME, hub_folder
from lmim_kedro.models.saved import check_saved
from lmim_kedro.params import ModelParams
from lmim_kedro.recipe import FREE, encoder_differences, up_to_date
from lmim_kedro.text.charset import FOUND, Charset

READY = Path(__file__).parents[1] / "reading" / "ready"
"""The ready reader, which comes with the package: recognizer/ for torch, onnx/ for ONNX Runtime, CARD.md about both."""


def named_place(named: str | Path) -> Path:
    """The place of weights that a parameter names: `ready` is the ready reader, `hf://` the hub, all else is a path.

    Errors: InputError if the hub has no such folder, or cannot be reached.

    Example:
        >>> named_place("ready").name, named_place("./ready")
        ('recognizer', PosixPath('ready'))
    """
    return READY / "recognizer" if named == "ready" else model_folder(named)


def model_folder(named: str | Path) -> Path:
    """A folder that is named by its path, or by `hf://owner/name[@revision][/sub/folder]` on the Hugging Face hub.

    Errors: InputError if the hub has no such folder, or cannot be reached.

    Example:
        >>> model_folder("ready")
        PosixPath('ready')
    """
    return hub_folder(named) if isinstance(named, str) and named.startswith(SCHEME) else Path(named)


CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""The files of a model's folder; a third one, files.SUMS, has their checksums."""


def require_undamaged(folder: Path, *names: str) -> None:
    """Check that files of a model's folder are those that were saved in it, by their checksums.

    Folders of earlier versions have no checksums, and are not checked.

    Errors: InputError if a file was cut, has other bits, or was replaced.
    """
    if found := damaged(folder, *names):
        raise InputError(
            f"{' and '.join(found)} in {folder} {'is' if len(found) == 1 else 'are'} not what was saved there, as the "
            f"checksums in {SUMS} show: damaged, or of another model; take a whole copy of the folder, or make the "
            f"model again (after a change on purpose, remove {SUMS})"
        )


def read_config(folder: Path, *kinds: str) -> dict[str, Any]:
    """Read the config.json of a folder that `save_model` wrote.

    Args:
        folder: the folder.
        kinds: kinds of model that are accepted.

    Errors: InputError if the folder holds no model, one of another kind, or a damaged config.json.

    Example:
        >>> read_config(Path("absent"), "encoder")
        Traceback (most recent call last):
        lmim_kedro.errors.InputError: absent holds no config.json: give a folder in which this project wrote a model
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise InputError(f"{folder} holds no {name}: give a folder in which this project wrote a model")
    require_undamaged(folder, CONFIG)
    try:
        config = up_to_date(read_json(folder / CONFIG))
        if (kind := config.get("kind")) not in kinds:
            wanted = " or ".join(map(repr, kinds))
            raise InputError(f"{folder} holds a model of kind {kind!r}, and {wanted} is wanted here")
        check_saved(config)
    except (AttributeError, KeyError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder} cannot be read ({reason}): it is damaged or from another version") from error
    return config


def require_encoder(named: str | Path, model: ModelParams) -> dict[str, Any]:
    """Check that a folder holds an encoder, or a recognizer with one, of the sizes in use, and return its config.

    It may be of another width, since positions are no weights (recipe.FREE).

    Args:
        named: the folder, or `ready`.
        model: sizes in use.

    Errors: InputError with the sizes that differ.
    """
    folder = named_place(named)
    config = read_config(folder, "encoder", "recognizer")
    made = ModelParams(**config["model"])
    if changed := [name for name in encoder_differences(made, model) if name not in FREE]:
        found = ", ".join(f"{name} {getattr(made, name)}, not {getattr(model, name)}" for name in changed)
        ready = f": set `model: {ready_facts()['model']}`" if folder == named_place("ready") else ""
        raise InputError(
            f"the encoder of {named} has other sizes than the model in use ({found})"
            f"{ready or ': choose the `model` that it was made with'}"
        )
    return config


def ready_facts() -> dict[str, Any]:
    """What is known about the ready reader as plain values: its model preset, recipe, scores and speed."""
    return read_json(READY / "facts.json")


def require_charset(folder: Path, name: str) -> None:
    """Check that the recognizer in a folder was made with a charset.

    Args:
        folder: a folder that `save_model` wrote.
        name: name of the charset, as in `finetuning.charset`; with from_labels or from_start any will do.

    Errors: InputError with the difference.
    """
    if name in FOUND:
        return
    made, wanted = Charset(**read_config(folder, "recognizer")["charset"]), Charset.named(name)
    if difference := made.difference(wanted):
        raise InputError(
            f"`finetuning.charset` is {name!r}, but the recognizer in {folder} was made with another charset "
            f"({difference}, where here is the recognizer's): set finetuning.charset to its charset, or fine-tune again"
        )
