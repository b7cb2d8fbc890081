"""Figures of the report, as vector graphics: losses over steps, accuracy over length and shape, calibration."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lmim_kedro.reporting.images import data_uri
from lmim_kedro.scoring.analysis import calibration_error
from lmim_kedro.scoring.metrics import METRICS

INK, TEAL, AMBER, SLATE = "#1f2a30", "#0f6b6b", "#b8621b", "#6c7a83"
_EDGE, _GRID, _BACK = "#b9c2c7", "#e6eaec", "#dfe5e8"
ON_DARK = {
    **{INK: "#e3e9ec", TEAL: "#4fb8b4", AMBER: "#e59f5c", SLATE: "#9aa8b0"},
    **{_EDGE: "#59656c", _GRID: "#2a3338", _BACK: "#37424a"},
}
"""Colors of a figure on a light page -> the same on a dark one."""
WIDTH = 3.6
"""Inches. All figures of the page are as wide as each other, so that side by side their letters are equal."""
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": _EDGE,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _GRID,
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
_POINTS = 400
"""Largest number of points of a line."""
_LOG_SPAN = 30
"""A positive quantity that spans more than this factor is drawn on a logarithmic axis."""


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: data URIs for a light and for a dark page, both without a ground, and a description."""

    picture: str
    dark: str
    alt: str


@dataclass(frozen=True)
class Figures:
    """The drawn figures of a page; those of accuracy are None where nothing can be scored."""

    training: list[Drawing]
    by_length: Drawing | None
    by_aspect: Drawing | None = None
    calibration: Drawing | None = None


_LOSS = {"loss": ("loss", TEAL)}
_LOSSES = {"loss": ("in all", SLATE), "reconstruction": ("reconstruction", TEAL)}
_ALIGNMENT = {"alignment": ("alignment", AMBER)}
_CURVES = (
    ("teacher", "Teacher: loss", "squared error", _LOSS),
    ("pretraining", "Pre-training: loss", "squared error", _LOSSES),
    ("pretraining", "Pre-training: alignment", "squared distance of the two [cls]", _ALIGNMENT),
    ("pretraining", "Pre-training: spread of [cls]", "std over the crops of a batch", {"cls_std": ("[cls]", AMBER)}),
    ("finetuning", "Fine-tuning: loss", "cross-entropy per word", _LOSS),
    ("finetuning", "Fine-tuning: accuracy", "share of words", {"accuracy": ("accuracy", TEAL)}),
)
"""Figures of training: stage, title, unit, and for each column of its metrics table a name and a color."""
_BARS = {
    "length": ("label length", "By word length", "characters in the label"),
    "aspect": ("width / height", "By shape of the crop", "width / height"),
}
"""Column of a table -> what it is, and the title and vertical label of its bars."""


def draw_training(teacher: pd.DataFrame, pretraining: pd.DataFrame, finetuning: pd.DataFrame) -> list[Drawing]:
    """Curves of every stage that was trained here, over optimizer steps.

    Args:
        teacher, pretraining, finetuning: metrics tables with `step` and `loss`; `reconstruction`, `alignment`,
            `cls_std` and `accuracy` are drawn if present, and what was measured on held-out crops. A table may be
            empty.
    """
    stages = {"teacher": teacher, "pretraining": pretraining, "finetuning": finetuning}
    names = [name for name in METRICS if f"validation_{name}" in finetuning]
    colors = zip(names, (TEAL, AMBER), strict=False)
    held_out = {f"validation_{name}": (METRICS[name].title, color) for name, color in colors}
    drawings = []
    for stage, title, unit, curves in (*_CURVES, ("finetuning", "Fine-tuning: held-out crops", "share", held_out)):
        metrics = stages[stage]
        looks = {column: look for column, look in curves.items() if column in metrics and metrics[column].notna().any()}
        if looks:
            with matplotlib.rc_context(STYLE):
                figure, axes = _figure(2.35)
                lines = [
                    (metrics.dropna(subset=[column]), column, {"label": name, "color": color})
                    for column, (name, color) in looks.items()
                ]
                span = math.inf if curves is held_out else _LOG_SPAN
                ends = zip(looks.values(), plot_curves(axes, lines, title, unit, span), strict=True)
                if len(looks) > 1:
                    axes.legend()
                last = ", ".join(f"{name} {end:.4g}" for (name, _), end in ends)
                alt = f"{title} over {len(lines[0][0])} rows of the metrics table; at the end {last}."
                drawings.append(_drawing(figure, alt))
    return drawings


def draw_accuracy_by(column: str, table: pd.DataFrame, metric: str) -> Drawing | None:
    """Bars of accuracy with bootstrap intervals, one below the other, each with its percents and crops in numbers.

    Args:
        column: `length` (characters in the label) or `aspect` (width / height of the crop).
        table: table from scoring.analysis.accuracy_by_length or accuracy_by_aspect; without rows, None is returned.
        metric: name of the table's metric.
    """
    if table.empty:
        return None
    what, title, beside = _BARS[column]
    with matplotlib.rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure, axes = _figure(max(2.1, 0.75 + 0.21 * len(table)))
        places, right, names = np.arange(len(table)), table["accuracy_percent"].to_numpy(), table[column].tolist()
        axes.barh(places, right, height=0.74, color=TEAL, alpha=0.85)
        axes.errorbar(right, places, xerr=_spread(table), fmt="none", ecolor=INK, elinewidth=1, capsize=2)
        axes.set_yticks(places, names)
        axes.set_ylim(len(table) - 0.4, -0.6)
        for place, value, crops in zip(places, right, table["crops"], strict=True):
            axes.text(103, float(place), f"{value:.1f} % of {crops:,}", va="center", fontsize=8)
        axes.set(title=title, xlim=(0, 100), xlabel=f"{METRICS[metric].title} (%)", ylabel=beside)
        best = names[int(right.argmax())]
        return _drawing(figure, f"Bars of accuracy by {what} from {names[0]} to {names[-1]}; highest at {best}.")


def draw_calibration(table: pd.DataFrame, metric: str) -> Drawing | None:
    """Reliability curve: accuracy over confidence, with bootstrap intervals and the share of crops.

    Args:
        table: table from scoring.analysis.calibration; without rows, None is returned.
        metric: name of the table's metric.
    """
    error = calibration_error(table)
    if error is None:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = _figure(2.9)
        sure, right = table["confidence_percent"], table["accuracy_percent"]
        shares = 100 * table["crops"] / table["crops"].sum()
        axes.bar(50 * (table["low"] + table["high"]), shares, width=9.4, color=_BACK, label="share of crops")
        axes.plot([0, 100], [0, 100], color=SLATE, linewidth=1, linestyle=(0, (3, 3)), label="as sure as right")
        axes.plot(sure, right, color=TEAL, marker="o", markersize=3.5)
        axes.errorbar(sure, right, _spread(table), fmt="none", ecolor=TEAL, elinewidth=1, capsize=2)
        axes.set_xlim(0, 100)
        label_accuracy(axes, metric, "confidence (%)")
        axes.set_title("By confidence")
        axes.legend(loc="center right", bbox_to_anchor=(1, 0.42))
        alt = f"Accuracy over confidence in {len(table)} bins; expected calibration error {100 * error:.1f} points."
        return _drawing(figure, alt)


def label_accuracy(axes: Axes, metric: str, under: str) -> None:
    """Give the vertical axis all of an accuracy's percents and its name, and the other one its label."""
    axes.set(ylim=(0, 100), ylabel=f"{METRICS[metric].title} (%)", xlabel=under)


def _spread(table: pd.DataFrame) -> np.ndarray:
    """Lengths of error bars (2, N): intervals hold the accuracy but for rounding, and matplotlib refuses negatives."""
    middle = table["accuracy_percent"].to_numpy()
    bounds = middle - table["low_percent"].to_numpy(), table["high_percent"].to_numpy() - middle
    return np.clip(np.stack(bounds), 0, None)


def plot_curves(
    axes: Axes,
    lines: Sequence[tuple[pd.DataFrame, str, Mapping[str, Any]]],
    title: str,
    unit: str,
    span: float = _LOG_SPAN,
) -> list[float]:
    """Plot columns of metrics tables over optimizer steps.

    Args:
        lines: for each line a metrics table, the name of its column and the line's style.
        title, unit: title of the axes and label of its vertical axis.
        span: the axis is logarithmic where the largest value is more than this many times the smallest, and positive.

    Returns: the last finite value of each line.
    """
    values: list[np.ndarray] = []
    last = 0.0
    for metrics, column, style in lines:
        steps, value = _thin(metrics["step"].to_numpy(float), metrics[column].to_numpy(float))
        # A line of one or two points would hardly be seen without its markers.
        axes.plot(steps, value, **style, marker="o" if len(steps) < 3 else None)
        values.append(value[np.isfinite(value)])
        last = max(last, float(steps[-1]))
    _end_with(axes, last)
    axes.set(title=title, xlabel="optimizer step", ylabel=unit)
    low, high = (float(bound(np.concatenate(values))) for bound in (np.min, np.max))
    if low > 0 and high / low > span:
        axes.set_yscale("log")
    elif low >= 0:
        axes.set_ylim(0, (high or 1) * 1.06)
    return [float(value[-1]) for value in values]


def _end_with(axes: Axes, last: float) -> None:
    """Ticks over steps from 0 to the last one, and round ones between that leave room for it."""
    between = MaxNLocator(nbins=3, integer=True).tick_values(0, last)
    ticks = [0.0, *(tick for tick in between if 0 < tick < 0.8 * last), last]
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.set_xlim(0, 1.02 * last)


def _thin(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of neighbors, so that a long run is a line and not a carpet."""
    parts = np.array_split(np.arange(len(steps)), min(len(steps), _POINTS))
    return np.array([steps[part][-1] for part in parts]), np.array([values[part].mean() for part in parts])


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def _drawing(figure: Figure, alt: str) -> Drawing:
    file = io.BytesIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    light = file.getvalue().decode("utf-8")
    dark = re.sub("#[0-9a-f]{6}", lambda color: ON_DARK.get(color[0], color[0]), light)
    return Drawing(data_uri(light.encode("utf-8"), "svg+xml"), data_uri(dark.encode("utf-8"), "svg+xml"), alt)
