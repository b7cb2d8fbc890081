"""The config.json of a folder that holds a model, without torch: mistakes in a path are found before it is imported."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json
from lmim_kedro.params import ModelParams
from lmim_kedro.recipe import up_to_date
from lmim_kedro.text.charset import FROM_LABELS, Charset


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
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} holds no {name}: give a folder in which this project wrote a model")
    try:
        config = up_to_date(read_json(folder / "config.json"))
        if (kind := config.get("kind")) not in kinds:
            wanted = " or ".join(map(repr, kinds))
            raise InputError(f"{folder} holds a model of kind {kind!r}, and {wanted} is wanted here")
        ModelParams(**config["model"])
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, KeyError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder} cannot be read ({reason}): it is damaged or from another version") from error
    return config


def require_charset(folder: Path, name: str) -> None:
    """Check that the recognizer in a folder was made with a charset.

    Args:
        folder: a folder that `save_model` wrote.
        name: name of the charset, as in `finetuning.charset`; with from_labels any charset will do.

    Errors: InputError with the difference.
    """
    if name == FROM_LABELS:
        return
    made, wanted = Charset(**read_config(folder, "recognizer")["charset"]), Charset.named(name)
    if difference := made.difference(wanted):
        raise InputError(
            f"`finetuning.charset` is {name!r}, but the recognizer in {folder} was made with another charset "
            f"({difference}, where here is the recognizer's): set finetuning.charset to its charset, or fine-tune again"
        )
