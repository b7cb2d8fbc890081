from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from PIL import Image

from lmim_kedro.reporting.images import crop_picture, similarity_picture
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


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures as matplotlib's objects instead of pixels."""
    monkeypatch.setattr(figures, "_pixels", lambda figure: figure)


def crops(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 255, (count, 3, 32, 128), dtype=np.uint8)


def grid(figure: Any, columns: int) -> list[list[Axes]]:
    axes = [each for each in figure.axes if each.get_label() != "<colorbar>"]
    return [axes[start : start + columns] for start in range(0, len(axes), columns)]


def shown(axes: Axes) -> np.ndarray | None:
    return np.asarray(axes.images[0].get_array()) if axes.images else None


def same(axes: Axes, crop: np.ndarray) -> bool:
    return np.array_equal(np.asarray(shown(axes)), np.asarray(crop_picture(crop)))


def test_sentence_stands_in_the_middle_of_a_small_picture() -> None:
    drawn = figures.nothing("no run")
    assert drawn.shape == (91, 585, 3)  # 0.7 by 4.5 inches, 130 dots each
    rows, columns = np.nonzero((drawn < 200).any(-1))
    assert rows.mean() == pytest.approx(45, abs=5) and columns.mean() == pytest.approx(292, abs=10)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("loss", "scale"), [([4.0, 1.0], "linear"), ([4.5, 1.0], "log")])
def test_losses_have_a_panel_for_each_stage_that_was_trained(loss: list[float], scale: str) -> None:
    table = pd.DataFrame({"step": [1, 2], "loss": loss})
    figure: Any = draw_losses({"Teacher": {"mim": table.head(0)}, "Pre-training": {"mim": table, "lmim": table}})
    (axes,) = figure.axes
    assert axes.get_title("left") == "Pre-training" and axes.get_yscale() == scale
    assert [line.get_ydata().tolist() for line in axes.lines] == [loss, loss]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["mim", "lmim"]
    both: Any = draw_losses({"Pre-training": {"mim": table}, "Fine-tuning": {"mim": table}})
    assert len(both.axes) == 2 and len(both.legends[0].get_texts()) == 1, "one line in two panels has one name"


@pytest.mark.usefixtures("undrawn")
def test_line_over_lengths_is_the_mean_of_seeds_and_its_band_reaches_from_worst_to_best() -> None:
    def table(lengths: list[str], values: list[float]) -> pd.DataFrame:
        return pd.DataFrame({"length": lengths, "crops": 1500, "accuracy_percent": values})

    seeds = [table(["2", "3"], [40.0, 50.0]), table(["2", "3"], [60.0, 90.0]), table(["2", "3"], [50.0, 70.0])]
    figure: Any = draw_lengths({"LMIM": seeds, "MIM": [table(["1", "2", "3"], [1.0, 2.0, 3.0])]}, "waics")
    (axes,) = figure.axes
    lines = {line.get_label(): np.transpose(line.get_data()).tolist() for line in axes.lines}
    assert lines == {"LMIM (3 seeds)": [[1, 50], [2, 70]], "MIM": [[0, 1], [1, 2], [2, 3]]}
    band = axes.collections[0].get_paths()[0].vertices
    assert (band.min(0).tolist(), band.max(0).tolist()) == ([1, 40], [2, 90])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1\n0", "2\n1,500", "3\n1,500"]


@pytest.mark.usefixtures("undrawn")
def test_attention_has_a_row_for_each_query_and_a_column_for_each_method_that_saw_the_same() -> None:
    queries = np.array([[[4, 6], [4, 14]]] * 2)
    own = {"crops": crops(2), "maps": np.random.default_rng(0).random((2, 2, 8, 32)), "queries": queries}
    figure: Any = draw_attention({"MIM": own, "LMIM": own, "of other queries": own | {"queries": queries + 1}})
    rows = grid(figure, 3)
    assert figure.get_size_inches().tolist() == pytest.approx([3 * 1.55, 4 * 0.42 + 0.35])
    assert [[shown(axes) is not None for axes in row] for row in rows] == [[True] * 3, [False, True, True]] * 2
    assert same(rows[0][0], own["crops"][0]) and same(rows[2][0], own["crops"][1])
    assert [[axes.get_title() for axes in row] for row in rows] == [["crop", "MIM", "LMIM"], *[[""] * 3] * 3]
    assert not any(spine.get_visible() for axes in figure.axes for spine in axes.spines.values())
    assert not any(len(axes.get_xticks()) + len(axes.get_yticks()) for axes in figure.axes)


@pytest.mark.usefixtures("undrawn")
def test_reconstructions_are_named_once_and_have_a_scale_where_features_are_predicted() -> None:
    pixels = {"crops": crops(2), "masked": crops(2) // 2, "predicted": 255 - crops(2)}
    features = {"crops": crops(2), "masked": crops(2) // 2, "similarity": np.full((2, 8, 32), 0.5)}
    figure: Any = draw_reconstructions({"MIM": pixels, "LMIM": features})
    rows = grid(figure, 3)
    assert [row[0].get_ylabel() for row in rows] == ["MIM", "", "LMIM", ""]
    for number in range(2):
        for axes, name in zip(rows[number], ("crops", "masked", "predicted"), strict=True):
            assert same(axes, pixels[name][number])
    assert np.asarray(shown(rows[2][2])).shape == (96, 384, 3)
    assert [axes.get_xlabel() for axes in figure.axes if axes.get_label() == "<colorbar>"] == [
        "cosine of predicted and target features"
    ]
    assert figure.axes[-1].get_xlim() == (0, 1)
    alone: Any = draw_reconstructions({"MIM": pixels})
    assert len(alone.axes) == 6, "pixels need no scale"


@pytest.mark.usefixtures("undrawn")
def test_neighbors_stand_beside_their_crop_with_label_and_cosine() -> None:
    own = {
        "queries": crops(2),
        "query_labels": np.array(["cat", "dog"]),
        "neighbors": np.stack([crops(2), 255 - crops(2)]),
        "labels": np.array([["cut", "car"], ["dig", "god"]]),
        "cosines": np.array([[0.5, 0.25], [0.75, -0.125]]),
    }
    figure: Any = draw_neighbors({"teacher": own, "LMIM": own})
    rows = grid(figure, 3)
    assert [row[0].get_ylabel() for row in rows] == ["teacher", "LMIM"] * 2
    assert [axes.get_title() for axes in rows[0]] == ["crop", "1", "2"]
    assert [axes.get_xlabel() for axes in rows[2]] == ["dog", "dig  0.75", "god  -0.12"]
    assert same(rows[2][0], own["queries"][1]) and same(rows[2][2], own["neighbors"][1][1])
    plain: Any = draw_neighbors({"teacher": own}, labels=False)
    assert {axes.get_xlabel() for axes in plain.axes} == {""}


def test_pictures_of_similarity_and_crops_are_three_times_as_large() -> None:
    assert similarity_picture(np.zeros((8, 32)), (32, 128)).size == (384, 96)
