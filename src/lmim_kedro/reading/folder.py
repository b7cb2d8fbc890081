"""Folders that hold recognizers, looked at without torch."""

from pathlib import Path
from typing import Any

from lmim_kedro.models.folder import read_config

MODELS = "data/06_models/*/*/*/recognizer"  # where a run leaves recognizers: variant, environment, seed


def require_recognizer(folder: Path) -> dict[str, Any]:
    """Check that a folder holds a recognizer and return its config.

    Errors: InputError if it does not.

    Example:
        >>> require_recognizer(Path("absent"))
        Traceback (most recent call last):
        lmim_kedro.errors.InputError: absent holds no config.json: give a folder in which this project wrote a model
    """
    return read_config(folder, "recognizer")


def recognizers_of_runs() -> list[Path]:
    """The recognizers that runs have left below the working folder."""
    return sorted(path for path in Path().glob(MODELS) if (path / "config.json").is_file())


def newest_recognizer() -> Path | None:
    """Find the recognizer below the working folder that was written last; None if there is none."""
    return max(recognizers_of_runs(), key=lambda path: (path / "config.json").stat().st_mtime, default=None)
