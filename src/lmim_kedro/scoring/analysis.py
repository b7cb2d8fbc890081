"""Where a recognizer goes wrong: accuracy by length, shape and character, confusions, calibration."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from lmim_kedro.errors import InputError
from lmim_kedro.scoring.metrics import METRICS, Score, bootstrap_interval, score

LONGEST = 16
"""Labels of this many characters or more are counted together."""
ASPECTS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
"""Bounds of the bins of width / height; a crop of 2.0 belongs to 2 to 3."""
CONFIDENCES = 10
"""Bins of confidence, equally wide."""
_ACCURACY = ["crops", "accuracy_percent", "low_percent", "high_percent"]


def accuracy_by_length(predictions: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Accuracy over the number of characters in the label; LONGEST and more share a row.

    Args:
        predictions: a row per crop: label, prediction.
        metric: name of a metric of right and wrong.

    Returns: length (such as `3` and `≥16`), crops (scored), accuracy_percent, low_percent, high_percent (95 %).

    Example:
        >>> read = pd.DataFrame({"label": ["cat", "dog", "bird"], "prediction": ["cat", "dig", "bird"]})
        >>> accuracy_by_length(read, "waics")[["length", "crops", "accuracy_percent"]].to_numpy().tolist()
        [['3', 2, 50.0], ['4', 1, 100.0]]
    """
    bins = predictions["label"].str.len().clip(upper=LONGEST).to_numpy(dtype=int)
    binned = _binned(_credit(predictions, metric), bins)
    rows = [[f"≥{LONGEST}" if n == LONGEST else str(n), *accuracy] for n, _, accuracy in binned]
    return pd.DataFrame(rows, columns=["length", *_ACCURACY])


def accuracy_by_aspect(predictions: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Accuracy over the shape of crops, width / height before resizing, in bins divided at ASPECTS.

    Args:
        predictions: a row per crop: label, prediction, aspect; a table without aspect gives one without rows.
        metric: name of a metric of right and wrong.

    Returns: aspect (such as `2 to 3`), crops (scored), accuracy_percent, low_percent, high_percent (95 %).
    """
    names = [f"<{ASPECTS[0]:g}", *(f"{a:g} to {b:g}" for a, b in pairwise(ASPECTS)), f"≥{ASPECTS[-1]:g}"]
    if "aspect" not in predictions:
        return pd.DataFrame(columns=["aspect", *_ACCURACY])
    bins = np.searchsorted(ASPECTS, predictions["aspect"].to_numpy(dtype=float), side="right")
    rows = [[names[n], *accuracy] for n, _, accuracy in _binned(_credit(predictions, metric), bins)]
    return pd.DataFrame(rows, columns=["aspect", *_ACCURACY])


def accuracy_by_character(predictions: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Recall and precision of each character, by an alignment with the fewest edits.

    Texts are aligned in the form in which the metric compares them.

    Returns:
        character; in_labels and read (how often it occurs in labels, and how often it is read there); written (how
        often it occurs in predictions); recall_percent = read / in_labels; precision_percent = read / written, missing
        where it is never written. The most frequent in labels first; characters that are only written come last.
    """
    pairs = _texts(predictions, metric)
    written = Counter("".join(prediction for prediction, _ in pairs))
    in_labels = Counter("".join(label for _, label in pairs))
    wrong = Counter(there for _, there, _ in _edits(pairs))
    rows = []
    for character in in_labels | written:
        count, times = in_labels[character], written[character]
        right = count - wrong[character]
        rows.append([character, count, right, times, _percent(right, count), _percent(right, times)])
    columns = ["character", "in_labels", "read", "written", "recall_percent", "precision_percent"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["in_labels", "character"], ascending=[False, True], ignore_index=True)


def confusions(predictions: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Substituted, deleted and inserted characters, by an alignment with the fewest edits.

    Texts are aligned in the form in which the metric compares them. Where several alignments have as few edits, one of
    them is taken, always the same.

    Returns:
        kind (substitution, deletion: in the label alone, insertion: in the prediction alone), label and prediction (a
        character each, or nothing), count, share_percent (of the label's character in all labels; missing for
        insertions), example (a label and its prediction, with as few other edits as possible). The most frequent first.

    Example:
        >>> read = pd.DataFrame({"label": ["cat", "dog"], "prediction": ["cot", "dog"]})
        >>> confusions(read, "waics")[["kind", "label", "prediction", "count"]].to_numpy().tolist()
        [['substitution', 'a', 'o', 1]]
    """
    pairs = _texts(predictions, metric)
    in_labels = Counter("".join(label for _, label in pairs))
    edits = list(_edits(pairs))
    counts = Counter((there, read) for _, there, read in edits)
    of_pair = Counter(place for place, _, _ in edits)
    # The pair with the most edits is written first, so that the one with the fewest, the first of them, stays.
    fewest_last = sorted(edits, key=lambda edit: (-of_pair[edit[0]], -edit[0]))
    examples = {(there, read): "{1}: {0}".format(*pairs[place]) for place, there, read in fewest_last}
    rows = [
        {
            "kind": "insertion" if not there else "deletion" if not read else "substitution",
            "label": there,
            "prediction": read,
            "count": count,
            "share_percent": _percent(count, in_labels[there]) if there else None,
            "example": examples[there, read],
        }
        for (there, read), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    table = pd.DataFrame(rows, columns=["kind", "label", "prediction", "count", "share_percent", "example"])
    return table.astype({"count": "int64", "share_percent": "float64"})


def calibration(predictions: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Accuracy over confidence: the reliability curve.

    Args:
        predictions: a row per crop: label, prediction, confidence (0 to 1); without confidence there are no rows.
        metric: name of a metric of right and wrong.

    Returns: low and high (bounds of the bin), crops (scored), confidence_percent (mean), accuracy_percent, low_percent,
        high_percent (95 %); a row for each of CONFIDENCES bins that holds crops. Errors: InputError for a confidence
        that is not between 0 and 1.
    """
    columns = ["low", "high", "crops", "confidence_percent", *_ACCURACY[1:]]
    if "confidence" not in predictions:
        return pd.DataFrame(columns=columns)
    sure = predictions["confidence"].to_numpy(dtype=float)
    credit = _credit(predictions, metric)
    if len(bad := sure[~((sure >= 0) & (sure <= 1))]):
        raise InputError(f"{len(bad):,} confidences are not between 0 and 1 (the first is {bad[0]:g}): read again")
    bins = np.minimum((sure * CONFIDENCES).astype(int), CONFIDENCES - 1)
    rows = []
    for number, inside, (crops, *accuracy) in _binned(credit, bins):
        bounds = [number / CONFIDENCES, (number + 1) / CONFIDENCES]
        rows.append([*bounds, crops, round(100 * float(sure[inside].mean()), 2), *accuracy])
    return pd.DataFrame(rows, columns=columns)


def calibration_error(table: pd.DataFrame) -> float | None:
    """Expected calibration error, 0 to 1: mean distance of accuracy and confidence over bins, by their crops.

    The table is from `calibration`; None is returned if it has no rows. Source: Guo et al., 2017, On calibration of
    modern neural networks.

    Example:
        >>> table = pd.DataFrame({"crops": [3, 1], "confidence_percent": [90, 50], "accuracy_percent": [80, 70]})
        >>> calibration_error(table)
        0.125
    """
    if table.empty:
        return None
    gaps = (table["accuracy_percent"] - table["confidence_percent"]).abs()
    return float((gaps * table["crops"]).sum() / table["crops"].sum() / 100)


def _binned(credit: np.ndarray, bins: np.ndarray) -> Iterator[tuple[int, np.ndarray, list[Any]]]:
    """For each bin in which something can be scored: its number, where its scored crops are, and _ACCURACY."""
    scored = ~np.isnan(credit)
    for number in np.unique(bins[scored]).tolist():
        inside = scored & (bins == number)
        result = Score(credit[inside])
        bounds = (result.accuracy, *bootstrap_interval(result))
        yield number, inside, [result.count, *(round(100 * bound, 2) for bound in bounds)]


def _credit(predictions: pd.DataFrame, metric: str) -> np.ndarray:
    return score(predictions["prediction"].tolist(), predictions["label"].tolist(), metric).credit


def _texts(predictions: pd.DataFrame, metric: str) -> list[tuple[str, str]]:
    """Predictions and labels in the metric's form, without labels that cannot be scored."""
    normalize = METRICS[metric].normalize
    sides = (map(normalize, predictions[name].tolist()) for name in ("prediction", "label"))
    return [(prediction, label) for prediction, label in zip(*sides, strict=True) if label]


def _edits(pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[int, str, str]]:
    """Place of the pair, character of the label, character of the prediction; one of them is empty if it has none."""
    for place, (prediction, label) in enumerate(pairs):
        for edit in Levenshtein.editops(label, prediction):
            there = "" if edit.tag == "insert" else label[edit.src_pos]
            read = "" if edit.tag == "delete" else prediction[edit.dest_pos]
            yield place, there, read


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None
