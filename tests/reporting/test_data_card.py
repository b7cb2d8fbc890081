from __future__ import annotations

import io

import pandas as pd
import pytest

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


def test_drawing_shows_shares_of_crops_and_the_sizes_of_those_used(card: pd.DataFrame) -> None:
    statuses, width, height, aspect = draw_data_card(card).axes
    used, left_out, set_aside = ([bar.get_width() for bar in bars] for bars in statuses.containers)
    assert used == pytest.approx([1100 / 12, 0])
    assert left_out == pytest.approx([20 / 12, 0]) and set_aside == pytest.approx([80 / 12, 100])
    starts = [[bar.get_x() for bar in bars] for bars in statuses.containers]
    assert starts == [[0, 0], pytest.approx([1100 / 12, 0]), pytest.approx([1120 / 12, 0])]
    assert [(text.get_text(), text.get_position()) for text in statuses.texts] == [("1,200", (2, 1)), ("5", (2, 0))]
    assert statuses.get_xlim() == (0, 100) and statuses.get_title("left") == "crops, %"
    for axes, title in ((width, "width, pixels"), (height, "height, pixels"), (aspect, "width / height")):
        assert axes.get_title("left") == title and axes.get_xscale() == "log"
        assert axes.collections[0].get_segments()[0].tolist() == [[6, 1], [96, 1]]
        assert axes.lines[0].get_xdata()[0] == 51
        ticks = axes.xaxis.get_major_locator().tick_values(1, 100)
        assert [tick for tick in ticks if 1 <= tick <= 100] == [1, 2, 5, 10, 20, 50, 100]


def test_source_without_crops_can_be_drawn(card: pd.DataFrame) -> None:
    empty = card.assign(crops=0, ok=0, excluded=0, set_aside=0)
    assert all(bar.get_width() == 0 for bar in draw_data_card(empty).axes[0].patches)  # type: ignore[attr-defined]
