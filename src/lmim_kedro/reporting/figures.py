"""Figures of the report, as vector graphics: losses over steps, accuracy over word length."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lmim_kedro.reporting.images import data_uri
from lmim_kedro.scoring.metrics import METRICS, Score, bootstrap_interval, score

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

INK, TEAL, AMBER, SLATE = "#1f2a30", "#0f6b6b", "#b8621b", "#6c7a83"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": "#b9c2c7",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e6eaec",
    "grid.linewidth": 0.8,
    "xtick.color": SLATE,
    "ytick.color": SLATE,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.7,
    "svg.fonttype": "path",
    "svg.hashsalt": "lmim-kedro",
}
_SIZE = (3.6, 2.35)
_POINTS = 400
_LOG_SPAN = 30
"""A positive quantity that spans more than this factor is drawn on a logarithmic axis."""
_LENGTH_BINS = 16


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: a data URI, and what it shows in words."""

    picture: str
    alt: str


@dataclass(frozen=True)
class Figures:
    """The drawn figures of a page; `by_length` is None where nothing can be scored."""

    training: list[Drawing]
    by_length: Drawing | None


@dataclass(frozen=True)
class Curve:
    """One line of a loss figure: a column of a metrics table, and what to call it."""

    column: str
    name: str
    colour: str = TEAL


_LOSS = (Curve("loss", "loss"),)
_PRETRAINING = (
    (
        "Pre-training: loss",
        "squared error",
        (Curve("loss", "in all", SLATE), Curve("reconstruction", "reconstruction")),
    ),
    ("Pre-training: alignment", "squared distance of the two [cls]", (Curve("alignment", "alignment", AMBER),)),
    ("Pre-training: spread of [cls]", "std over the crops of a batch", (Curve("cls_std", "[cls]", AMBER),)),
)


def draw_training(teacher: pd.DataFrame, pretraining: pd.DataFrame, finetuning: pd.DataFrame) -> list[Drawing]:
    """Curves of every stage that was trained here, over optimiser steps.

    Args:
        teacher, pretraining, finetuning: metrics tables with `step` and `loss`; `reconstruction`, `alignment`,
            `cls_std` and `accuracy` are drawn where they are. A table may be empty.
    """
    wanted = [
        (teacher, "Teacher: loss", "squared error", _LOSS),
        *((pretraining, *rest) for rest in _PRETRAINING),
        (finetuning, "Fine-tuning: loss", "cross-entropy per word", _LOSS),
        (finetuning, "Fine-tuning: accuracy", "share of words", (Curve("accuracy", "accuracy"),)),
    ]
    drawings = []
    for metrics, title, unit, curves in wanted:
        present = [c for c in curves if c.column in metrics and metrics[c.column].notna().any()]
        if present and not metrics.empty:
            drawings.append(_draw_curves(metrics, title, unit, present))
    return drawings


def draw_accuracy_by_length(predictions: pd.DataFrame, metric: str) -> Drawing | None:
    """Accuracy over the number of characters in the label, with bootstrap intervals; None if nothing can be scored.

    Lengths beyond the first 15 share the last bar.
    """
    labels = predictions["label"].tolist()
    credit = score(predictions["prediction"].tolist(), labels, metric).credit
    lengths = np.minimum([len(label) for label in labels], _LENGTH_BINS)
    bins = [(length, Score(credit[lengths == length])) for length in np.unique(lengths[~np.isnan(credit)])]
    if not bins:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure((6.8, 2.9))
        places = np.arange(len(bins))
        heights = np.array([100 * each.accuracy for _, each in bins])
        bounds = 100 * np.array([bootstrap_interval(each) for _, each in bins]).T
        axes.bar(places, heights, 0.74, color=TEAL, alpha=0.85)
        # Percentile intervals hold the accuracy but for rounding, and matplotlib refuses negative lengths.
        spread = np.clip([heights - bounds[0], bounds[1] - heights], 0, None)
        axes.errorbar(places, heights, spread, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
        names = [str(length) if length < _LENGTH_BINS else f"≥{length}" for length, _ in bins]
        axes.set_xticks(places, [f"{name}\n{each.count:,}" for name, (_, each) in zip(names, bins, strict=True)])
        axes.set_ylim(0, 100)
        axes.set_ylabel(f"{METRICS[metric].title} (%)")
        axes.set_xlabel("characters in the label; below: crops")
        best = names[int(heights.argmax())]
        return _drawing(figure, f"Bars of accuracy by label length from {names[0]} to {names[-1]}; highest at {best}.")


def _draw_curves(metrics: pd.DataFrame, title: str, unit: str, curves: Sequence[Curve]) -> Drawing:
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(_SIZE)
        values: list[np.ndarray] = []
        for curve in curves:
            steps, value = _thin(metrics["step"].to_numpy(float), metrics[curve.column].to_numpy(float))
            axes.plot(steps, value, color=curve.colour, label=curve.name, marker="o" if len(steps) < 3 else None)
            values.append(value[np.isfinite(value)])
        axes.set_title(title)
        axes.set_xlabel("optimiser step")
        axes.set_ylabel(unit)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        _choose_scale(axes, np.concatenate(values))
        if len(curves) > 1:
            axes.legend()
        last = ", ".join(f"{curve.name} {value[-1]:.4g}" for curve, value in zip(curves, values, strict=True))
        return _drawing(figure, f"{title} over {len(metrics)} rows of the metrics table; at the end {last}.")


def _choose_scale(axes: Axes, values: np.ndarray) -> None:
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > _LOG_SPAN:
        axes.set_yscale("log")
    elif low >= 0:
        axes.set_ylim(0, (high or 1) * 1.06)


def _thin(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of neighbours, so that a long run is a line and not a carpet."""
    if len(steps) <= _POINTS:
        return steps, values
    parts = np.array_split(np.arange(len(steps)), _POINTS)
    return np.array([steps[part][-1] for part in parts]), np.array([values[part].mean() for part in parts])


def _figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def _drawing(figure: Figure, alt: str) -> Drawing:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return Drawing(data_uri(file.getvalue(), "svg+xml"), alt)
