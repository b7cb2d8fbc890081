"""Figures that put variants side by side: losses, accuracy over word length, attention, reconstructions, neighbors."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from PIL import Image

from lmim_kedro.reporting.figures import AMBER, INK, SLATE, STYLE, TEAL, label_accuracy, plot_curves
from lmim_kedro.reporting.images import attention_picture, crop_picture, prediction_picture

DOTS_PER_INCH = 130
_COLORS = (
    *(TEAL, AMBER, "#5b4b9a", SLATE, "#2f7d32"),
    *("#b3261e", "#1f77b4", "#8c564b", "#c2a300", "#d16ba5"),
)
_LINES = ("-", "--", ":", "-.")
_LOG_SPAN = 4.0
"""Losses that fall further than so many times: where each begins would hide how all of them end."""
_ROW, _COLUMN = 0.42, 1.55
"""Height and width of a crop in a grid, inches."""


def draw_losses(stages: Mapping[str, Mapping[str, pd.DataFrame]]) -> np.ndarray:
    """Losses over optimizer steps, a panel for each stage and a line for each variant.

    Args:
        stages: metrics tables (step, loss) by title of the stage and by variant; empty tables are left out.
    """
    trained = {title: {name: table for name, table in own.items() if len(table)} for title, own in stages.items()}
    panels = {title: tables for title, tables in trained.items() if tables}
    if not panels:
        return nothing("nothing was trained here")
    styles = _styles([name for tables in panels.values() for name in tables])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.7 * len(panels), 3.6), layout="constrained")
        places = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, tables) in zip(places, panels.items(), strict=True):
            lines = [(table, "loss", styles[name]) for name, table in tables.items()]
            plot_curves(axes, lines, title, "loss", _LOG_SPAN)
        handles = [Line2D([], [], **style) for style in styles.values()]
        figure.legend(handles, list(styles), loc="outside lower center", ncols=min(len(styles), 6))
        return _pixels(figure)


def draw_lengths(tables: Mapping[str, Sequence[pd.DataFrame]], metric: str) -> np.ndarray:
    """Accuracy over the number of characters in the label, a line for each method, a band from worst to best seed.

    Args:
        tables: for each method a table from scoring.analysis.accuracy_by_length for each seed.
        metric: name of the metric of the tables.
    """
    if not tables:
        return nothing("no method was read with")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        axes = figure.add_subplot()
        lengths = max((list(each[0]["length"]) for each in tables.values()), key=len)
        places = {length: place for place, length in enumerate(lengths)}
        for (name, seeds), color in zip(tables.items(), _COLORS, strict=False):
            shown = [place for length, place in places.items() if length in set(seeds[0]["length"])]
            values = np.stack([each["accuracy_percent"].to_numpy(float) for each in seeds])
            label = name if len(seeds) == 1 else f"{name} ({len(seeds)} seeds)"
            axes.plot(shown, values.mean(0), color=color, marker="o", markersize=3.5, label=label)
            axes.fill_between(shown, values.min(0), values.max(0), color=color, alpha=0.15, linewidth=0)
        crops = dict(zip(*(next(iter(tables.values()))[0][key] for key in ("length", "crops")), strict=True))
        axes.set_xticks(range(len(lengths)), [f"{length}\n{crops.get(length, 0):,}" for length in lengths])
        label_accuracy(axes, metric, "characters in the label; below: crops")
        axes.legend()
        return _pixels(figure)


def draw_attention(methods: Mapping[str, Mapping[str, Any]]) -> np.ndarray:
    """Attention of the last encoder block (paper, Figures 1c and 3): a row for each query, a column for each method.

    Args:
        methods: by name the arrays from evaluation.attention; methods with other crops or queries than the first are
            left out.
    """
    if not methods:
        return nothing("no run has attention maps")
    first = next(iter(methods.values()))
    asked = ("crops", "queries")
    same = {name: own for name, own in methods.items() if all(np.array_equal(own[key], first[key]) for key in asked)}
    rows = [
        [
            crop_picture(crop) if query == 0 else None,
            *(attention_picture(crop, own["maps"][number][query], place) for own in same.values()),
        ]
        for number, crop in enumerate(first["crops"])
        for query, place in enumerate(first["queries"][number])
    ]
    return _grid(rows, ["crop", *same])


def draw_reconstructions(methods: Mapping[str, Mapping[str, Any]]) -> np.ndarray:
    """For each method a block of rows, one for each crop: crop, masked crop, prediction.

    The prediction is pixels where the target is, else a map of the cosine between predicted and target features.

    Args:
        methods: by name the arrays from evaluation.reconstruction.reconstruct.
    """
    if not methods:
        return nothing("no run has reconstructions")
    shown = [(name, own, number) for name, own in methods.items() for number in range(len(own["crops"]))]
    names = [name if number == 0 else "" for name, _, number in shown]
    rows = [
        [crop_picture(own["crops"][number]), crop_picture(own["masked"][number]), prediction_picture(own, number)]
        for _, own, number in shown
    ]
    scale = None if all("predicted" in own for own in methods.values()) else "cosine of predicted and target features"
    return _grid(rows, ["crop", "masked", "predicted"], names, scale)


def draw_neighbors(runs: Mapping[str, Mapping[str, Any]], labels: bool = True) -> np.ndarray:
    """The nearest neighbors of a few crops by [cls]: a row for each crop and encoder.

    Args:
        runs: by title of the encoder: queries (Q, 3, H, W), query_labels (Q,), neighbors (Q, K, 3, H, W), labels
            (Q, K), cosines (Q, K). All have the same queries.
        labels: whether to write labels and cosines under the crops.
    """
    if not runs:
        return nothing("no run has neighbors by [cls]")
    first = next(iter(runs.values()))
    rows, names, texts = [], [], []
    for number, crop in enumerate(first["queries"]):
        for name, own in runs.items():
            names.append(name)
            rows.append([crop_picture(crop), *map(crop_picture, own["neighbors"][number])])
            found = zip(own["labels"][number], own["cosines"][number], strict=True)
            texts.append([str(own["query_labels"][number]), *(f"{label}  {cosine:.2f}" for label, cosine in found)])
    columns = ["crop", *map(str, range(1, len(rows[0])))]
    return _grid(rows, columns, names, texts=texts if labels else None)


def nothing(why: str) -> np.ndarray:
    """Draw a sentence in place of a figure."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.5, 0.7))
        figure.text(0.5, 0.5, why, ha="center", va="center", color=SLATE)
        return _pixels(figure)


def _grid(
    rows: Sequence[Sequence[Image.Image | None]],
    columns: Sequence[str],
    names: Sequence[str] | None = None,
    scale: str | None = None,
    texts: Sequence[Sequence[str]] | None = None,
) -> np.ndarray:
    """Pictures in rows and columns, titles above, names at the left, a text under each, a scale below them all."""
    bare = {"axes.spines.left": False, "axes.spines.bottom": False}
    with matplotlib.rc_context(STYLE | bare):
        figure = Figure(
            figsize=(
                _COLUMN * len(columns) + (1.0 if names else 0),
                _ROW * len(rows) * (1.5 if texts else 1) + 0.35 + (0.55 if scale else 0),
            ),
            layout=ConstrainedLayoutEngine(h_pad=0.015, w_pad=0.02, hspace=0, wspace=0),
        )
        grid = np.atleast_2d(figure.subplots(len(rows), len(columns), squeeze=False))
        for number, (pictures, line) in enumerate(zip(rows, grid, strict=True)):
            for place, (picture, axes) in enumerate(zip(pictures, line, strict=True)):
                axes.set(xticks=[], yticks=[])
                if picture is not None:
                    axes.imshow(np.asarray(picture), aspect="auto", interpolation="antialiased")
                if number == 0:
                    axes.set_title(columns[place], loc="center", fontsize=8.5)
                if texts:
                    axes.set_xlabel(texts[number][place], fontsize=6.5, labelpad=1.5, color=INK)
            if names:
                line[0].set_ylabel(names[number], rotation=0, ha="right", va="center", fontsize=8.5)
        if scale:
            mappable = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, 1), "viridis")
            bar = figure.colorbar(mappable, ax=grid, location="bottom", fraction=0.04, aspect=40, pad=0.01)
            bar.set_label(scale, fontsize=8)
        return _pixels(figure)


def _styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Name -> color, and a line style of its own where there are more names than colors."""
    turns = [divmod(place, len(_COLORS)) for place in range(len(names))]
    styles = [{"color": _COLORS[place], "linestyle": _LINES[turn % len(_LINES)]} for turn, place in turns]
    return dict(zip(dict.fromkeys(names), styles, strict=False))


def _pixels(figure: Figure) -> np.ndarray:
    """A figure as (H, W, 3) uint8."""
    figure.set_dpi(DOTS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
