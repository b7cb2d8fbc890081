"""The scores of a run, as in scores.json."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lmim_kedro.errors import InputError
from lmim_kedro.scoring.analysis import calibration, calibration_error
from lmim_kedro.scoring.metrics import METRICS, Score, accuracies_with, bootstrap_interval, score
from lmim_kedro.scoring.protocols import NAMES, SIZES, Labels, get_protocol, labels_known

_TEXTS_NAMED = 3
"""Of what is read where nothing is right, so many texts are named."""


def build_scores(
    predictions: pd.DataFrame,
    recipe: Mapping[str, Any],
    metric: str = "waics",
    labels: Labels = "original",
    looks: int = 1,
    language: str = "none",
    beside: str | None = None,
) -> dict[str, Any]:
    """Score the readings of every benchmark.

    Args:
        predictions: a row per crop: benchmark, label, prediction; `beside`, what another recognizer reads, if any.
        recipe: recipe of the recognizer: env, variant, seed, model_name, finetuning.preset.
        metric: the accuracy that tables show: a metric of right and wrong.
        labels: label set of the six common benchmarks at ingest: original or corrected.
        looks: looks that the recognizer took at each crop.
        language: the language model that helped it to choose.
        beside: name of the other recognizer; where predictions have no column `beside`, nothing is said of it.

    Returns:
        plain values, fractions of 1. `accuracy`: by benchmark, in the order of the readings, the accuracies and
        one_minus_ned, `n` crops scored by `metric` and `unscorable` ones left out; null where nothing can be scored.
        `interval_95`: bootstrap interval of `metric`. `calibration_error`: expected, of confidence and `metric`, over
        all crops; null without confidences. `labels`, `looks`, `language`: as given. `beside`: the other recognizer's
        name and its accuracy by benchmark; null without one. `averages`: of each evaluation protocol whose test sets
        are all there, in full, with its labels. `notes`: remarks on the test sets, and on what is read where no crop is
        right. `sha256`: of the recognizer's weights, as in the recipe.

    Errors: InputError if there are no readings.
    """
    if predictions.empty:
        raise InputError("there are no predictions to score: give the evaluate pipeline benchmarks with crops in them")
    main: dict[str, Score] = {}
    readings_of: dict[str, list[str]] = {}
    others: dict[str, float | None] = {}
    accuracy: dict[str, dict[str, Any]] = {}
    for benchmark, rows in predictions.groupby("benchmark", sort=False, observed=True):
        pairs = rows["prediction"].tolist(), rows["label"].tolist()
        each = {kind: score(*pairs, kind) for kind in accuracies_with(metric)}
        name, main[name], readings_of[name] = str(benchmark), each[metric], pairs[0]
        accuracy[name] = {
            metric: _fraction(main[name].accuracy),
            "n": main[name].count,
            "unscorable": main[name].unscorable,
            **{kind: _fraction(result.accuracy) for kind, result in each.items()},
            "one_minus_ned": _fraction(score(*pairs, METRICS[metric].companion).accuracy),
        }
        if "beside" in rows:
            others[name] = _fraction(score(rows["beside"].tolist(), rows["label"].tolist(), metric).accuracy)
    sizes = {name: each.count + each.unscorable for name, each in main.items()}
    notes = [
        f"{name} has {size:,} crops here; the published test set has {SIZES[name]:,}."
        for name, size in sizes.items()
        if size != SIZES.get(name, size)
    ]
    notes += [
        f"{name}: none of {each.count:,} crops is right. What is read: {what_is_read(readings_of[name])}."
        for name, each in main.items()
        if each.count and each.accuracy == 0
    ]
    averages = {}
    for name in NAMES:
        protocol = get_protocol(name, labels if labels in labels_known(name) else "original")
        if protocol.metric == metric and set(protocol.subsets) <= set(main):
            try:
                avg, weighted = protocol.average(main)
            except InputError as reason:
                notes.append(f"No average over {name}: {reason}.")
            else:
                crops = sum(main[subset].count for subset in protocol.subsets)
                found = {"avg": _fraction(avg), "weighted_avg": _fraction(weighted)}
                averages[name] = found | {"n": crops, "labels": protocol.labels}
    preset = recipe["finetuning"].get("preset", "reference")  # recipes of before there were presets have none
    if preset != "reference":
        notes.insert(0, f"Fine-tuned with the preset {preset}; the paper's rows are not.")
    if looks != 1:
        notes.insert(
            0, f"Each crop was read with {looks} margins, and the surest reading counts; published rows read once."
        )
    if language != "none":
        notes.insert(
            0,
            f"A language model ({language}) chose where the recognizer was not sure; published rows ask none.",
        )
    error = calibration_error(calibration(predictions, metric))
    return {
        **{key: recipe[key] for key in ("env", "variant", "seed")},
        "model": recipe["model_name"],
        "finetuning": preset,
        "metric": metric,
        "labels": labels,
        "looks": looks,
        "language": language,
        "accuracy": accuracy,
        "interval_95": {name: [_fraction(bound) for bound in bootstrap_interval(each)] for name, each in main.items()},
        "calibration_error": None if error is None else round(error, 6),
        "beside": {"recognizer": beside, "accuracy": others} if others else None,
        "averages": averages,
        "notes": notes,
        "sha256": recipe.get("sha256"),
    }


def summarize(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Summarize scores in the few numbers of metrics.json, in percent.

    Args:
        scores: from `build_scores`.

    Returns:
        the accuracy by the run's metric and one_minus_ned, each the mean over benchmarks that can be scored, which
        count the same; null where none can. `benchmarks` and `crops`: how many those are.
    """
    metric = scores["metric"]
    each = [found for found in scores["accuracy"].values() if found[metric] is not None]

    def mean(kind: str) -> float | None:
        return round(100 * sum(found[kind] for found in each) / len(each), 4) if each else None

    sizes = {"benchmarks": len(each), "crops": sum(found["n"] for found in each)}
    return {f"{metric}_percent": mean(metric), "one_minus_ned_percent": mean("one_minus_ned"), **sizes}


def what_is_read(readings: Sequence[str]) -> str:
    """Say in a few words what some readings are: nothing, one letter in all of them, or the most frequent texts.

    Args:
        readings: at least one.

    Example:
        >>> what_is_read(["", "", "e"])
        'nothing in 2 of 3 crops, `e` in 1'
        >>> what_is_read(["ee", "e"])
        'the letter `e` and no other'
    """
    if len(letters := set("".join(readings))) == 1 and all(readings):
        return f"the letter `{letters.pop()}` and no other"
    often = Counter(readings)
    others = max(0, len(often) - _TEXTS_NAMED)
    named = [(f"`{text}`" if text else "nothing", count) for text, count in often.most_common(_TEXTS_NAMED)]
    (first, times), *more = named
    parts = [f"{first} in {times:,} of {len(readings):,} crops", *(f"{text} in {count:,}" for text, count in more)]
    return ", ".join([*parts, *([f"{others:,} other texts"] if others else [])])


def _fraction(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
