"""What is known of the recognizer that reads, for people who use it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json
from lmim_kedro.models.folder import READY, ready_facts
from lmim_kedro.registries import METRICS

_MODELS, _REPORTS = "06_models", "08_reporting"


def about_recognizer(folder: Path | None) -> dict[str, Any]:
    """Name, characters and scores of a recognizer, as far as they are known.

    Args:
        folder: where it is; None: the ready reader. The scores of a run's recognizer are in its report.

    Returns:
        `name`; `characters` that it can write; `metric`: in words, what counts as right, None without scores;
        `scores`: for each test set `set`, `crops`, and in percent `right`, `low` and `high` (95 % interval). Sets
        without a score are left out.

    Example:
        >>> about = about_recognizer(None)
        >>> about["name"], len(about["characters"]), about["metric"]
        ('the ready reader', 36, 'WAICS: word accuracy ignoring case and symbols')
    """
    config = read_json((READY / "onnx" if folder is None else folder) / "config.json")
    try:
        return _about(folder, config)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the config.json or the scores.json of {folder} is not as this project writes it ({error!r}): evaluate "
            "the recognizer again, or name another one"
        ) from error


def _about(folder: Path | None, config: Mapping[str, Any]) -> dict[str, Any]:
    scores = ready_facts()["scores"] if folder is None else _scores_of_run(folder)
    return {
        "name": "the ready reader" if folder is None else f"the recognizer {folder}",
        "characters": config.get("charset", {}).get("characters", ""),
        "metric": _in_words(scores["metric"]) if scores else None,
        "scores": _in_percent(scores) if scores else [],
    }


def _in_words(metric: str) -> str:
    """The metric's title and, up to the first colon, its meaning; only its name where it is not installed here."""
    if metric not in METRICS:
        return metric
    return f"{METRICS[metric].title}: {METRICS[metric].meaning.partition(':')[0]}"


def _scores_of_run(folder: Path) -> dict[str, Any]:
    """scores.json of the run that made data/06_models/VARIANT/ENV/SEED/recognizer; empty where there is none."""
    place = folder.resolve()
    if len(place.parts) < 6 or place.parents[3].name != _MODELS:
        return {}
    return read_json(place.parents[4] / _REPORTS / place.parent.relative_to(place.parents[3]) / "scores.json")


def _in_percent(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, found in scores["accuracy"].items():
        if (right := found[scores["metric"]]) is not None:
            low, high = scores["interval_95"][name]
            percents = {"right": right, "low": low, "high": high}
            shown = {key: round(100 * value, 1) for key, value in percents.items()}
            rows.append({"set": name, "crops": found["n"], **shown})
    return rows
