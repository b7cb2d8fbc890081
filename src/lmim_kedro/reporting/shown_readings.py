"""Right and wrong readings, with what differs marked."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from lmim_kedro.crops.pixels import CropStore
from lmim_kedro.reporting.images import thumbnail
from lmim_kedro.scoring.metrics import METRICS, score


@dataclass(frozen=True)
class Span:
    """A stretch of text. Kind: same, differs, or ignored by the metric."""

    text: str
    kind: str


@dataclass(frozen=True)
class ShownCrop:
    """One crop, its label and its prediction."""

    benchmark: str
    key: str
    picture: str
    label: list[Span]
    prediction: list[Span]
    confidence: float | None
    beside: list[Span] | None = None


@dataclass(frozen=True)
class Readings:
    """Crops for the page: drawn at random from each benchmark in turn, and the mistakes that looked surest."""

    right: list[ShownCrop]
    wrong: list[ShownCrop]
    surest_mistakes: list[ShownCrop]


def mark_differences(prediction: str, label: str, metric: str) -> tuple[list[Span], list[Span]]:
    """Mark where prediction and label differ, by an alignment with the fewest edits.

    Characters are compared as the metric compares them; those that it drops take no part in the alignment.

    Returns: spans of the prediction and of the label.

    Example:
        >>> mark_differences("cot", "c-at", "waics")[0]
        [Span(text='c', kind='same'), Span(text='o', kind='differs'), Span(text='t', kind='same')]
    """
    normalize = METRICS[metric].normalize
    keys = [[normalize(character) for character in text] for text in (prediction, label)]
    counted = [[place for place, key in enumerate(own) if key] for own in keys]
    kinds = [["same" if key else "ignored" for key in own] for own in keys]
    ours, theirs = ([own[place] for place in places] for own, places in zip(keys, counted, strict=True))
    for edit in Levenshtein.opcodes(ours, theirs):
        if edit.tag != "equal":
            ranges = slice(edit.src_start, edit.src_end), slice(edit.dest_start, edit.dest_end)
            for side, edited in enumerate(ranges):
                for place in counted[side][edited]:
                    kinds[side][place] = "differs"
    return _spans(prediction, kinds[0]), _spans(label, kinds[1])


def choose_readings(
    predictions: pd.DataFrame, crops: CropStore, metric: str, right: int = 12, wrong: int = 24, surest: int = 12
) -> Readings:
    """Choose readings for the page, always the same for the same predictions.

    Args:
        predictions: a row per crop: benchmark, index (in the store), label, prediction; confidence and key if known.
        crops: store that the predictions were made from.
        metric: name of the metric that decides what is right.
        right, wrong, surest: largest number of each.
    """
    predictions = predictions.reset_index(drop=True)
    credit = score(predictions["prediction"].tolist(), predictions["label"].tolist(), metric).credit
    mistakes = predictions[credit == 0]
    if "confidence" in predictions:
        mistakes = mistakes.sort_values("confidence", ascending=False, kind="stable")
    sure = mistakes.head(surest if "confidence" in predictions else 0)
    others = mistakes.drop(sure.index).sort_index()
    chosen = (_in_turn(predictions[credit == 1], right), _in_turn(others, wrong), sure)
    return Readings(*(_with_pictures(rows, crops, metric) for rows in chosen))


def _in_turn(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Rows drawn at random without repeats, one from each benchmark in turn."""
    shuffled = rows.iloc[np.random.default_rng(0).permutation(len(rows))]
    turn = shuffled.groupby("benchmark", observed=True).cumcount()
    return shuffled.loc[turn.sort_values(kind="stable").index[:count]]


def _with_pictures(rows: pd.DataFrame, crops: CropStore, metric: str) -> list[ShownCrop]:
    pictures = crops.fetch([int(index) for index in rows["index"]])
    shown = []
    for row, encoded in zip(rows.to_dict("records"), pictures, strict=True):
        prediction, label = mark_differences(row["prediction"], row["label"], metric)
        key, confidence = str(row.get("key", row["index"])), row.get("confidence")
        sure = None if pd.isna(confidence) else float(confidence)
        other = mark_differences(row["beside"], row["label"], metric)[0] if "beside" in row else None
        shown.append(ShownCrop(str(row["benchmark"]), key, thumbnail(encoded), label, prediction, sure, other))
    return shown


def _spans(text: str, kinds: list[str]) -> list[Span]:
    stretches = groupby(zip(text, kinds, strict=True), key=lambda pair: pair[1])
    return [Span("".join(character for character, _ in stretch), kind) for kind, stretch in stretches]
