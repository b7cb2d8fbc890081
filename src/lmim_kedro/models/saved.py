"""What the config.json of a model has to say, beside its sizes, before weights are loaded."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from lmim_kedro.params import ModelParams, PretrainingParams


class SavedCharset(BaseModel, extra="forbid"):
    """The characters of a recognizer."""

    characters: str
    fold_case: bool = False


class SavedModel(BaseModel, extra="allow"):
    """Any model."""

    model: ModelParams


class SavedPretraining(SavedModel):
    """A model with what pre-training alone uses."""

    pretraining: PretrainingParams
    teacher: bool = False


class SavedRecognizer(SavedModel):
    """A recognizer."""

    charset: SavedCharset
    decoder: str
    max_length: int = Field(gt=1, le=1024)
    looks: Literal[1, 3] = 1
    language: str | None = None
    labels: dict[str, Any] = {}


def check_saved(config: dict[str, Any]) -> None:
    """Check the config of a model, by its kind. Errors: pydantic's ValidationError."""
    of_kind: dict[Any, type[SavedModel]] = {"encoder": SavedModel, "recognizer": SavedRecognizer}
    of_kind.get(config.get("kind"), SavedPretraining).model_validate(config)
