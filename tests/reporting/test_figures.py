from __future__ import annotations

import base64

import numpy as np
import pandas as pd

from lmim_kedro.reporting.figures import Drawing, draw_accuracy_by_length, draw_training


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


def test_long_words_share_the_last_bar(predictions: pd.DataFrame) -> None:
    words = pd.DataFrame(
        {"label": ["a", "ab", "a" * 16, "a" * 30, "??"], "prediction": ["a", "b", "a", "a" * 30, "??"]}
    )
    drawing = draw_accuracy_by_length(words, "waics")
    assert drawing is not None
    assert drawing.alt == "Bars of accuracy by label length from 1 to ≥16; highest at 1."


def test_nothing_to_score_draws_nothing() -> None:
    assert draw_accuracy_by_length(pd.DataFrame({"label": ["-"], "prediction": ["-"]}), "waics") is None
