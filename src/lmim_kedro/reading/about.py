"""What is known of the recognizer that reads, for people who use it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json, read_sums
from lmim_kedro.models.folder import CONFIG, READY, WEIGHTS, ready_facts
from lmim_kedro.reading.folder import recognizers_of_runs
from lmim_kedro.registries import METRICS

COMPARED = ("metric", "labels", "looks", "language")
"""What scores have to have in common to be compared."""
_MODELS, _REPORTS = "06_models", "08_reporting"
_SETS = 4
"""Test sets whose scores are named in a line."""


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
    config = read_json((READY / "onnx" if folder is None else folder) / CONFIG)
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
    scores = _scores(folder)
    return {
        "name": "the ready reader" if folder is None else f"the recognizer {folder}",
        "characters": config.get("charset", {}).get("characters", ""),
        "metric": _in_words(scores["metric"]) if scores else None,
        "scores": _in_percent(scores) if scores else [],
    }


def about_in_words(folder: Path | None) -> str:
    """When a recognizer was made, of what, and how it scored, in a few words, as far as that is recorded.

    Args:
        folder: as for `about_recognizer`.

    Example:
        >>> about_in_words(None)  # doctest: +ELLIPSIS
        'made 20..., trained on ... rendered words; WAICS ... %: rendered ... %, iiit5k ... %, ...'
    """
    if folder is None:
        facts = ready_facts()
        made = f"made {facts['made']}, trained on {sum(facts['rendered'].values()):,} rendered words"
    else:
        written = datetime.fromtimestamp((folder / CONFIG).stat().st_mtime, UTC)
        made = f"written {written:%Y-%m-%d %H:%M} UTC, {trained_in_words(read_json(folder / CONFIG))}"
    scores = _scores(folder)
    each = {score["set"]: score for score in _in_percent(scores)} if scores else {}
    if not each:
        return f"{made}; not scored"
    parts = [f"{name} {each[name]['right']} %" for name in each][:_SETS]
    more = [f"{len(each) - _SETS} more"] if len(each) > _SETS else []
    return f"{made}; {scores['metric'].upper()} {100 * _right(scores, each):.1f} %: {', '.join(parts + more)}"


def trained_in_words(config: Mapping[str, Any]) -> str:
    """What a recognizer was trained on, by its config.json.

    Example:
        >>> trained_in_words({"recipe": {"variant": "lmim", "env": "mini", "seed": 0}, "labels": {"usable": 1200}})
        'trained on 1,200 labeled crops as variant lmim of mini, seed 0'
        >>> trained_in_words({})
        'its training is not recorded'
    """
    if "trained" in config:  # of an export
        return str(config["trained"])
    if (recipe := config.get("recipe")) is None:
        return "its training is not recorded"
    labels = config.get("labels", {})
    held = f" ({labels['held_out']:,} held out)" if "held_out" in labels else ""
    on = f" on {labels['usable']:,} labeled crops{held}" if "usable" in labels else ""
    return f"trained{on} as variant {recipe['variant']} of {recipe['env']}, seed {recipe['seed']}"


def better_in_words(folder: Path | None) -> str | None:
    """Which of the runs' recognizers and the ready reader scored best, if that is better than this one.

    Only scores by the same metric, labels, looks and language model are compared, over the test sets that both have.

    Args:
        folder: as for `about_recognizer`.
    """
    own, best, words = _scores(folder), 0.0, None
    for other in [None, *recognizers_of_runs()] if own else []:
        theirs = _scores(other)
        if other == folder or any(own.get(name, "none") != theirs.get(name, "none") for name in COMPARED):
            continue
        both = [name for name, found in own["accuracy"].items() if _same_set(found, theirs["accuracy"].get(name), own)]
        if both and (gain := _right(theirs, both) - _right(own, both)) > best:
            best = gain
            crops = sum(own["accuracy"][name]["n"] for name in both)
            words = (
                f"{'the ready reader' if other is None else other} scored better: {100 * _right(theirs, both):.1f} % "
                f"against {100 * _right(own, both):.1f} % of the same {crops:,} crops"
            )
    return words


def _same_set(one: Mapping[str, Any], other: Mapping[str, Any] | None, scores: Mapping[str, Any]) -> bool:
    scored = one[scores["metric"]] is not None
    return scored and other is not None and other["n"] == one["n"] and other[scores["metric"]] is not None


def _right(scores: Mapping[str, Any], sets: Iterable[str]) -> float:
    """Share of the crops of some test sets that are right."""
    found = [(scores["accuracy"][name]["n"], scores["accuracy"][name][scores["metric"]]) for name in sets]
    return sum(crops * right for crops, right in found) / max(1, sum(crops for crops, _ in found))


def _in_words(metric: str) -> str:
    """The metric's title and, up to the first colon, its meaning; only its name where it is not installed here."""
    if metric not in METRICS:
        return metric
    return f"{METRICS[metric].title}: {METRICS[metric].meaning.partition(':')[0]}"


def _scores(folder: Path | None) -> dict[str, Any]:
    """The scores of the ready reader, or of the recognizer in data/06_models/VARIANT/ENV/SEED/recognizer.

    They are empty where there are none, or where they are those of other weights.
    """
    if folder is None:
        return dict(ready_facts()["scores"])
    place = folder.resolve()
    if len(place.parts) < 6 or place.parents[3].name != _MODELS:
        return {}
    scores = read_json(place.parents[4] / _REPORTS / place.parent.relative_to(place.parents[3]) / "scores.json")
    of, weights = scores.get("sha256"), read_sums(folder).get(WEIGHTS)
    return {} if of is not None and weights is not None and of != weights else scores


def _in_percent(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, found in scores["accuracy"].items():
        if (right := found[scores["metric"]]) is not None:
            low, high = scores["interval_95"][name]
            percents = {"right": right, "low": low, "high": high}
            shown = {key: round(100 * value, 1) for key, value in percents.items()}
            rows.append({"set": name, "crops": found["n"], **shown})
    return rows
