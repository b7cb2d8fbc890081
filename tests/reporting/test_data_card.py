from __future__ import annotations

import io

import pandas as pd

from lmim_kedro.reporting.data_card import card_rows, draw_data_card


def test_rows_stand_by_use_and_lack_nothing_in_words(card: pd.DataFrame) -> None:
    rows = card_rows(card)
    assert [len(each) for each in rows.values()] == [1, 0, 1]
    assert rows["Pre-training"][0]["outside"] == "é 4, <b> 2"
    assert rows["Benchmarks"][0]["outside"] == ""


def test_drawing_has_a_line_for_each_source(card: pd.DataFrame) -> None:
    figure = draw_data_card(card)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "street (pretraining)",
        "gone (benchmarks)",
    ]
    assert len(figure.axes) == 4
