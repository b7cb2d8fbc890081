from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lmim_kedro.reporting.images import similarity_picture
from lmim_kedro.reporting.paper import figures
from lmim_kedro.reporting.paper.figures import (
    draw_attention,
    draw_lengths,
    draw_losses,
    draw_neighbors,
    draw_reconstructions,
)
from lmim_kedro.reporting.paper.page import CLS_COLUMNS, cls_table


def is_picture(image: np.ndarray) -> bool:
    return image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8 and len(np.unique(image)) > 10


def test_nothing_to_draw_gives_a_picture_that_says_so() -> None:
    for drawn in (
        draw_losses({"Teacher": {"mim": pd.DataFrame(columns=["step", "loss"])}}),
        draw_lengths({}, "waics"),
        draw_attention({}),
        draw_reconstructions({}),
        draw_neighbors({}),
    ):
        assert is_picture(drawn) and drawn.shape[0] < 120


def test_every_map_of_attention_is_drawn_over_its_crop_with_its_query(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def draw(crop: np.ndarray, attention: np.ndarray, query: np.ndarray) -> Image.Image:
        drawn.append((crop.max(), attention.max(), *query))
        return Image.new("RGB", (384, 96))

    monkeypatch.setattr(figures, "attention_picture", draw)
    crops = np.array([1, 2], np.uint8).reshape(2, 1, 1, 1) * np.ones((1, 3, 32, 128), np.uint8)
    maps = np.arange(2 * 3).reshape(2, 3, 1, 1) * np.ones((1, 1, 8, 32))
    queries = np.stack(np.broadcast_arrays(4, [[8, 16, 23], [9, 17, 24]]), -1)
    own = {"crops": crops, "maps": maps, "queries": queries}
    other = {**own, "maps": 10 + maps}
    draw_attention({"MIM": own, "LMIM": other, "of other crops": {**own, "crops": crops + 1}})
    one = [(1 + n // 3, n, 4, column) for n, column in enumerate([8, 16, 23, 9, 17, 24])]
    assert drawn == [row for crop, n, *query in one for row in ((crop, n, *query), (crop, 10 + n, *query))]


def test_similarity_is_light_where_nothing_was_removed_and_bright_where_alike() -> None:
    picture = np.asarray(similarity_picture(np.array([[np.nan, -1.0, 0.0, 1.0]]), (8, 16), zoom=1))
    kept, opposite, none, alike = (picture[4, place] for place in (1, 5, 9, 13))
    assert kept.tolist() == [226, 230, 232]
    assert (opposite == none).all()
    assert int(alike.sum()) > int(none.sum()) + 100


def test_every_variant_has_a_line_that_can_be_told_from_the_others() -> None:
    table = pd.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.0]})
    few, many = (draw_losses({"Pre-training": {f"v{n}": table for n in range(count)}}) for count in (2, 25))
    assert is_picture(few) and is_picture(many)
    from lmim_kedro.reporting.paper.figures import _styles

    styles = _styles([f"v{n}" for n in range(25)])
    assert len({(style["color"], style["linestyle"]) for style in styles.values()}) == 25


def test_lengths_of_seeds_make_one_line() -> None:
    seeds = [
        pd.DataFrame({"length": ["2", "3"], "crops": [5, 5], "accuracy_percent": [value, value]})
        for value in (40.0, 60.0)
    ]
    assert is_picture(draw_lengths({"LMIM": seeds, "MIM": seeds[:1]}, "waics"))


def test_cls_rows_leave_out_teachers_that_there_were_not() -> None:
    part = {"std": 0.5, "effective_rank": 7.0}
    found = {"crops": 9, "width": 4, "cls": part, "patches": part}
    wide = found | {"patches": {"std": 0.25, "effective_rank": 3.0}}
    table = cls_table(
        {("lmim", 0): {"encoder": wide, "teacher": found}, ("mim", 1): {"encoder": found, "teacher": None}}
    )
    assert list(table.columns) == CLS_COLUMNS
    assert table[["variant", "seed", "encoder"]].to_numpy().tolist() == [
        ["lmim", 0, "encoder"],
        ["lmim", 0, "teacher"],
        ["mim", 1, "encoder"],
    ]
    assert table.iloc[0, 3:].tolist() == [9, 4, 0.5, 7, 0.25, 3]
    assert list(cls_table({}).columns) == CLS_COLUMNS
