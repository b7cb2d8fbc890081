from __future__ import annotations

import io
from typing import Any

import pandas as pd
import pytest

from lmim_kedro.reporting.data_card import card_rows, draw_data_card


@pytest.fixture
def card() -> pd.DataFrame:
    """Two sources, one of them of no use, as the table comes back from its file."""
    counts = dict.fromkeys(
        ("turned", "labels_empty", "labels_too_long", "labels_outside", "duplicates_exact", "leaks_exact"), 0
    )
    sizes = {f"{name}_{part}": part + 1.0 for name in ("width", "height", "aspect") for part in (5, 50, 95)}
    rows: list[dict[str, Any]] = [
        {"use": "pretraining", "source": "street", "crops": 1200, "ok": 1100, "set_aside": 80, "excluded": 20}
        | counts
        | {"outside": "é 4, <b> 2", "most_frequent": "e 9", "duplicates_near": 7, "leaks_near": 3}
        | sizes,
        {"use": "benchmarks", "source": "gone", "crops": 5, "ok": 0, "set_aside": 5, "excluded": 0}
        | counts
        | {"outside": None, "most_frequent": None, "duplicates_near": 0, "leaks_near": 0}
        | dict.fromkeys(sizes),
    ]
    return pd.read_csv(io.StringIO(pd.DataFrame(rows).to_csv(index=False)))


def test_rows_stand_by_use_and_lack_nothing_in_words(card: pd.DataFrame) -> None:
    rows = card_rows(card)
    assert [len(each) for each in rows.values()] == [1, 0, 1]
    assert rows["Pre-training"][0]["outside"] == "é 4, <b> 2"
    assert rows["Benchmarks"][0]["outside"] == ""


def test_drawing_has_a_line_for_each_source(card: pd.DataFrame) -> None:
    figure = draw_data_card(card)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["street (pretraining)", "gone (benchmarks)"]
    assert len(figure.axes) == 4
