"""Scoring: WAICS and 1 - NED of a hundred thousand pairs, beside one pair at a time."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable

from benchmarks.measure import Measurement, compare
from lmim_kedro.scoring.metrics import score

PAIRS = 100_000


def measurements() -> dict[str, Callable[[], Measurement]]:
    """By name."""
    return {"scoring": scoring}


def scoring() -> Measurement:
    """Pairs a second, both metrics of each; beside the table of edit distances filled in Python."""
    draw = random.Random(0)
    labels = ["".join(draw.choices(string.ascii_letters + "-'0", k=draw.randint(1, 14))) for _ in range(PAIRS)]
    predictions = [label if draw.random() < 0.7 else label[1:] for label in labels]

    def ours() -> None:
        score(predictions, labels, "waics")
        score(predictions, labels, "ned")

    def plain() -> None:
        for prediction, label in zip(predictions[:2000], labels[:2000], strict=True):
            first, second = (re.sub("[^0-9a-z]", "", text.lower()) for text in (prediction, label))
            _ = first == second, 1 - _distance(first, second) / max(len(first), len(second), 1)

    return compare("scoring", ours, plain, PAIRS, reference_crops=2000) | {"unit": "pairs/s"}


def _distance(first: str, second: str) -> int:
    row = list(range(len(second) + 1))
    for place, one in enumerate(first, 1):
        diagonal, row[0] = row[0], place
        for column, other in enumerate(second, 1):
            diagonal, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, diagonal + (one != other)),
            )
    return row[-1]
