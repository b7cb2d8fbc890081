from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from lmim_kedro.reporting import figures
from lmim_kedro.reporting.figures import (
    Drawing,
    _thin,
    draw_accuracy_by,
    draw_calibration,
    draw_training,
)
from lmim_kedro.scoring.analysis import accuracy_by_aspect, accuracy_by_length, calibration, calibration_error


def svg(drawing: Drawing) -> str:
    return base64.b64decode(drawing.picture.partition(",")[2]).decode("utf-8")


def test_each_curve_that_was_recorded_is_drawn(stages: dict[str, pd.DataFrame]) -> None:
    drawings = draw_training(*stages.values())
    titles = [drawing.alt.partition(" over")[0] for drawing in drawings]
    assert titles == [
        "Teacher: loss",
        "Pre-training: loss",
        "Pre-training: alignment",
        "Pre-training: spread of [cls]",
        "Fine-tuning: loss",
    ]
    assert all(svg(drawing).rstrip().endswith("</svg>") for drawing in drawings)
    assert "reconstruction 0.2321" in drawings[1].alt


def test_long_run_is_thinned_to_means_that_end_at_its_last_step() -> None:
    steps, values = _thin(np.arange(1, 8001), np.tile([0.0, 2.0], 4000))
    assert len(steps) == len(values) < 1000
    assert values.tolist() == [1.0] * len(values)
    assert steps[-1] == 8000


def test_stage_that_did_not_run_has_no_figure(stages: dict[str, pd.DataFrame]) -> None:
    empty = pd.DataFrame(columns=["step", "epoch", "loss", "learning_rate"])
    assert [d.alt[:11] for d in draw_training(empty, empty, stages["fine-tuning"])] == ["Fine-tuning"]
    assert draw_training(empty, empty, empty) == []


def test_what_was_measured_on_held_out_crops_is_drawn_where_it_was(
    stages: dict[str, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = []
    plot = figures.plot_curves
    monkeypatch.setattr(figures, "plot_curves", lambda *given: spans.append(given[-1]) or plot(*given))
    empty, table = stages["teacher"].head(0), stages["fine-tuning"].copy()
    table["validation_waics"] = table["validation_ned"] = np.nan
    table.loc[table.index[[1, 3]], ["validation_waics", "validation_ned"]] = [[0.01, 0.5], [0.8, 0.9]]
    *_, held = draw_training(empty, empty, table)
    assert held.alt == (
        "Fine-tuning: held-out crops over 2 rows of the metrics table; at the end WAICS 0.8, 1 - NED 0.9."
    )
    assert spans[-1] == float("inf")  # never on a logarithmic axis


def test_short_and_odd_runs_can_be_drawn() -> None:
    one = pd.DataFrame({"step": [50], "loss": [0.0], "alignment": [np.nan], "accuracy": [0.5]})
    assert len(draw_training(one, one, one)) == 4  # no alignment
    gap = pd.DataFrame({"step": range(5000), "loss": np.linspace(1, 0, 5000)})
    (drawing,) = draw_training(gap, gap.head(0), gap.head(0))
    assert len(svg(drawing)) < 100_000


def test_figures_are_the_same_every_time(stages: dict[str, pd.DataFrame]) -> None:
    assert draw_training(*stages.values()) == draw_training(*stages.values())


def test_bars_are_named_after_their_lengths_and_crops() -> None:
    table = accuracy_by_length(
        pd.DataFrame({"label": ["a", "ab", "a" * 16, "a" * 30, "??"], "prediction": ["a", "b", "a", "a" * 30, "??"]}),
        "waics",
    )
    drawing = draw_accuracy_by("length", table, "waics")
    assert drawing is not None
    assert drawing.alt == "Bars of accuracy by label length from 1 to ≥16; highest at 1."


def test_bars_of_shape_are_those_of_the_table(predictions: pd.DataFrame) -> None:
    drawing = draw_accuracy_by("aspect", accuracy_by_aspect(predictions, "waics"), "waics")
    assert drawing is not None
    assert drawing.alt.startswith("Bars of accuracy by width / height from 2 to 3 to 4 to 5;")
    assert svg(drawing).rstrip().endswith("</svg>")


def test_reliability_curve_says_how_far_it_is_off(predictions: pd.DataFrame) -> None:
    table = calibration(predictions, "waics")
    drawing = draw_calibration(table, "waics")
    error = calibration_error(table)
    assert drawing is not None and error is not None
    assert drawing.alt == (
        f"Accuracy over confidence in {len(table)} bins; expected calibration error {100 * error:.1f} points."
    )
    assert draw_calibration(table.head(1), "waics") is not None


def test_nothing_to_score_draws_nothing() -> None:
    nothing = pd.DataFrame({"label": ["-"], "prediction": ["-"], "aspect": [1.0], "confidence": [1.0]})
    assert draw_accuracy_by("length", accuracy_by_length(nothing, "waics"), "waics") is None
    assert draw_accuracy_by("aspect", accuracy_by_aspect(nothing, "waics"), "waics") is None
    assert draw_calibration(calibration(nothing, "waics"), "waics") is None


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The axes of every figure that is drawn."""
    found: list[Axes] = []

    def keep(figure: Any, alt: str) -> Drawing:
        found.extend(figure.axes)
        return Drawing("", "", alt)

    monkeypatch.setattr(figures, "_drawing", keep)
    return found


def metrics(loss: list[float], **columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"step": range(1, len(loss) + 1), "loss": loss, **columns})


NONE = metrics([])


def test_curves_are_those_of_the_metrics_and_named_where_there_are_two(drawn: list[Axes]) -> None:
    table = metrics([4.0, 2.0, 1.0], reconstruction=[3.0, 1.0, 0.5], alignment=[np.nan, 1.0, 0.5])
    alts = [drawing.alt for drawing in draw_training(NONE, table, NONE)]
    loss, alignment = drawn
    assert [line.get_ydata().tolist() for line in loss.lines] == [[4, 2, 1], [3, 1, 0.5]]  # type: ignore[union-attr]
    assert [line.get_xdata().tolist() for line in loss.lines] == [[1, 2, 3]] * 2  # type: ignore[union-attr]
    legend = loss.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["in all", "reconstruction"]
    assert alignment.get_legend() is None, "its title says what it is"
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("optimizer step", "squared error")
    assert alts[0] == "Pre-training: loss over 3 rows of the metrics table; at the end in all 1, reconstruction 0.5."
    assert all(tick == int(tick) for tick in loss.get_xticks())


@pytest.mark.parametrize(
    ("loss", "scale"),
    [([30.0, 1.0], "linear"), ([30.5, 1.0], "log"), ([100.0, 0.0], "linear"), ([9.0, -1.0], "linear")],
)
def test_axis_is_logarithmic_where_a_positive_loss_falls_far(drawn: list[Axes], loss: list[float], scale: str) -> None:
    draw_training(metrics(loss), NONE, NONE)
    assert drawn[0].get_yscale() == scale


def test_axis_begins_at_zero_unless_values_are_negative(drawn: list[Axes]) -> None:
    draw_training(metrics([2.0, 1.0]), metrics([0.0, 0.0]), metrics([2.0, -1.0]))
    positive, zero, negative = (axes.get_ylim() for axes in drawn)
    assert positive == (0, pytest.approx(2.12)) and zero == (0, pytest.approx(1.06))
    assert negative[0] < -1
    draw_training(metrics([2.0, 0.0]), NONE, NONE)
    assert drawn[-1].get_ylim()[0] == 0


def test_line_of_two_points_has_markers_and_a_longer_one_has_none(drawn: list[Axes]) -> None:
    draw_training(metrics([2.0, 1.0]), NONE, metrics([3.0, 2.0, 1.0]))
    assert [axes.lines[0].get_marker() for axes in drawn] == ["o", "None"]


def test_lines_of_up_to_400_points_are_drawn_as_they_are() -> None:
    values = np.random.default_rng(0).random(400)
    assert _thin(np.arange(400), values)[1].tolist() == values.tolist()
    assert len(_thin(np.arange(401), np.zeros(401))[0]) == 400


TABLE = pd.DataFrame(
    {
        "length": ["1", "2"],
        "crops": [3, 1],
        "accuracy_percent": [80.0, 50.0],
        "low_percent": [70.0, 50.1],  # rounding may put a bound on the wrong side
        "high_percent": [95.0, 60.0],
    }
)


def spans(axes: Axes) -> list[list[list[float]]]:
    """Lower and upper end of each error bar."""
    (bars,) = [each for each in axes.containers if hasattr(each, "has_yerr")]
    return np.stack(bars[2][0].get_segments()).round(6).tolist()  # type: ignore[index, attr-defined]


def test_bars_are_as_high_as_the_accuracy_with_their_intervals(drawn: list[Axes]) -> None:
    draw_accuracy_by("length", TABLE, "waics")
    (axes,) = drawn
    assert [bar.get_width() for bar in axes.patches] == [80, 50]  # type: ignore[attr-defined]
    assert spans(axes) == [[[70, 0], [95, 0]], [[50, 1], [60, 1]]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "2"]
    assert [text.get_text() for text in axes.texts] == ["80.0 % of 3", "50.0 % of 1"]
    assert axes.get_xlim() == (0, 100) and axes.get_ylim()[0] > axes.get_ylim()[1], "the shortest words are on top"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("WAICS (%)", "characters in the label")
    draw_accuracy_by("aspect", TABLE.rename(columns={"length": "aspect"}), "waics")
    assert (drawn[1].get_title(loc="left"), drawn[1].get_ylabel()) == ("By shape of the crop", "width / height")


def test_letters_of_figures_side_by_side_are_equal(drawn: list[Axes]) -> None:
    table = TABLE.assign(low=[0.8, 0.9], high=[0.9, 1.0], confidence_percent=[84.0, 99.0])
    draw_accuracy_by("length", table, "waics")
    draw_calibration(table, "waics")
    draw_training(metrics([2.0, 1.0]), NONE, NONE)
    assert len({axes.figure.get_figwidth() for axes in drawn}) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(("last", "ticks"), [(57, [0, 20, 40, 57]), (3000, [0, 1000, 2000, 3000]), (1, [0, 1])])
def test_ticks_end_where_the_run_ends(drawn: list[Axes], last: int, ticks: list[int]) -> None:
    draw_training(pd.DataFrame({"step": [1, last], "loss": [2.0, 1.0]}), NONE, NONE)
    assert drawn[0].get_xticks().tolist() == ticks
    assert [label.get_text() for label in drawn[0].get_xticklabels()] == [f"{tick:,}" for tick in ticks]


def test_figure_on_a_dark_page_has_no_color_of_a_light_one_and_no_ground() -> None:
    (drawing,) = draw_training(metrics([2.0, 1.0, 0.5]), NONE, NONE)
    light, dark = (base64.b64decode(uri.partition(",")[2]).decode() for uri in (drawing.picture, drawing.dark))
    assert figures.TEAL in light and figures.ON_DARK[figures.TEAL] in dark
    assert not [color for color in figures.ON_DARK if color in dark]
    assert "#ffffff" not in light and len(dark) == len(light)


def test_reliability_curve_stands_over_the_share_of_crops_and_the_diagonal(drawn: list[Axes]) -> None:
    table = TABLE.drop(columns="length").assign(low=[0.8, 0.9], high=[0.9, 1.0], confidence_percent=[84.0, 99.0])
    draw_calibration(table, "waics")
    (axes,) = drawn
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axes.patches]  # type: ignore[attr-defined]
    assert bars == [(pytest.approx(85), 75), (pytest.approx(95), 25)]
    diagonal, curve = (np.transpose(line.get_data()).tolist() for line in axes.lines[:2])
    assert diagonal == [[0, 0], [100, 100]] and curve == [[84, 80], [99, 50]]
    assert axes.get_xlim() == axes.get_ylim() == (0, 100)
    assert spans(axes) == [[[84, 70], [84, 95]], [[99, 50], [99, 60]]]
