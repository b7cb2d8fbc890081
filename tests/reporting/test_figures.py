from __future__ import annotations

import base64

import numpy as np
import pandas as pd

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
