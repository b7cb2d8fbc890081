"""What people look at: the contact sheet and the table of statistics."""

import numpy as np
import pytest
import torch

from lmim_kedro.crops.sheets import contact_sheet
from lmim_kedro.params import JitterParams, ViewPreset
from lmim_kedro.views.geometry import Geometry, crop_map, identity_map
from lmim_kedro.views.guidance import GuidanceViews, to_unit
from lmim_kedro.views.statistics import describe, inside


def flat(*shades):
    return np.array(shades, np.uint8)[:, None, None, None].repeat(3, 1).repeat(32, 2).repeat(128, 3)


def test_each_crop_stands_beside_its_views():
    views = torch.tensor([[0.2, 0.4], [0.6, 0.8]])[:, :, None, None, None].expand(2, 2, 3, 32, 128).numpy()
    sheet = contact_sheet(flat(10, 20), views)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    rows = [sheet[sheet.shape[0] * part // 4, :, 0] for part in (1, 3)]
    for row, wanted in zip(rows, ([10, 51, 102], [20, 153, 204]), strict=True):
        order = [shade for place, shade in enumerate(row.tolist()) if place == 0 or row[place - 1] != shade]
        assert [shade for shade in order if shade != 255] == wanted


@pytest.mark.parametrize("ratio", [0.5, 2.0, 4.0, 9.0])
def test_pictures_get_their_native_aspect_ratio_back(ratio):
    sheet = contact_sheet(flat(0), np.zeros((1, 1, 3, 32, 128), np.float32), np.array([ratio]))
    dark = (sheet == 0).all(2)
    half = dark[:, : dark.shape[1] // 2]
    width, height = half.any(0).sum(), half.any(1).sum()
    assert width / height == pytest.approx(ratio, rel=0.05)


def test_statistics_have_a_row_for_the_preset_and_one_for_each_operation(crops):
    images, aspect, index = crops
    preset = ViewPreset(
        pick=(1, 2),
        rotate=15,
        contrast=(0.5, 0.5),
        jitter=JitterParams(probability=0.5),
        grayscale_probability=0.25,
    )
    table = describe(preset, images, aspect, seed=0, index=index).set_index("operation")
    assert list(table.index) == ["all", "rotate", "contrast", "jitter", "grayscale"]
    assert table.loc["jitter", "picked"] == 0.5 and table.loc["grayscale", "picked"] == 0.25
    assert table.loc["all", "picked"] == pytest.approx(table.loc[["rotate", "contrast"], "picked"].sum())
    assert table.loc["all", "picked"] == pytest.approx(1.5, abs=0.3)  # one or two of two
    assert table.loc["contrast", "gray_correlation"] == pytest.approx(1, abs=1e-4)
    assert table.loc["contrast", "strokes_inside"] == 1
    assert table.loc["rotate", "gray_correlation"] < 0.9
    wanted = (0.5 * (images.float() - 127)).abs().mean().item() / 127.5
    assert table.loc["contrast", "difference"] == pytest.approx(wanted, rel=1e-3)


def test_what_a_view_cuts_off_is_missing_from_the_strokes():
    images = torch.zeros(1, 3, 32, 128)
    images[..., 10:12] = 1  # a stroke on the left
    images[..., 100:102] = 1  # and one on the right
    left_half = Geometry(crop_map(*torch.tensor([[0.0], [0.5], [0.0], [0.0]])))
    strokes, middle = inside(left_half, images)
    assert strokes == pytest.approx(0.5, abs=0.01) and middle == pytest.approx(0.5, abs=0.02)
    assert inside(Geometry(identity_map(torch.ones(1))), images) == (1.0, 1.0)


@pytest.mark.parametrize(("cut", "shown"), [((0.0, 0.625, 0.0, 0.0), 1), ((0.0, 0.0, 0.0, 0.625), 0)])
def test_a_stroke_down_the_left_is_inside_a_view_of_the_left_and_not_one_of_the_top(cut, shown):
    images = torch.zeros(1, 3, 32, 128)
    images[..., 14:30, 10:12] = 1
    strokes, middle = inside(Geometry(crop_map(*torch.tensor(cut)[:, None])), images)
    assert strokes == shown
    assert middle == 0.25  # the middle goes from 0.25 to 0.75, the view to 0.375


@pytest.mark.parametrize("edge", [(..., slice(2)), (..., slice(-2, None)), (slice(2),), (slice(-2, None),)])
def test_strokes_at_the_edges_of_a_crop_are_inside_a_view_of_all_of_it(edge):
    images = torch.zeros(1, 3, 32, 128)
    images[0, 0][edge] = 1
    assert inside(Geometry(identity_map(torch.ones(1))), images) == (1.0, 1.0)


def test_a_view_shows_no_stroke_that_it_only_touches():
    images = torch.zeros(1, 3, 32, 128)
    images[..., 0:2] = images[..., 126:128] = 1
    middle = Geometry(crop_map(*torch.tensor([[0.25], [0.25], [0.0], [0.0]])))
    assert inside(middle, images) == (0.0, 1.0)
    beyond = Geometry(crop_map(*torch.tensor([[1.0], [-1.0], [0.0], [0.0]])))  # what is right of the crop
    assert inside(beyond, images) == (0.0, 0.0)


def test_a_crop_without_strokes_counts_for_none():
    images = torch.zeros(2, 3, 32, 128)
    half = Geometry(crop_map(*torch.tensor([[0.0], [0.5], [0.0], [0.0]]).expand(4, 2)))
    assert inside(half, images)[0] == 1.0
    images[1, :, :, 100:102] = 1
    assert inside(half, images)[0] == 0.0


def test_gray_correlation_is_pearsons_mean_over_the_crops_that_have_more_than_one_color(crops):
    images, aspect, index = (part[:4] for part in crops)
    images[2] = 77
    preset = ViewPreset(pick=(1, 1), rotate=15)
    views = GuidanceViews(preset)(images, aspect, seed=0, epoch=0, index=index)
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    grays = [
        torch.stack([view, image / 255]).mul(luma).sum(1).flatten(1) for view, image in zip(views, images, strict=True)
    ]
    wanted = np.mean([np.corrcoef(pair)[0, 1] for place, pair in enumerate(grays) if place != 2])
    found = describe(preset, images, aspect, seed=0, index=index)["gray_correlation"]
    assert found.tolist() == pytest.approx([wanted] * 2, abs=1e-4)
    flat = describe(preset, images[2:3], aspect[2:3], seed=0, index=index[2:3])
    assert flat["gray_correlation"].isna().all() and (flat["strokes_inside"] == 1).all()


def test_strokes_along_and_down_the_crop_count_by_their_length():
    images = torch.zeros(1, 3, 32, 128)
    images[..., 16:18, 10:50] = 1
    images[..., 6:26, 100:102] = 1  # half as long
    left_half = Geometry(crop_map(*torch.tensor([[0.0], [0.5], [0.0], [0.0]])))
    assert inside(left_half, images)[0] == pytest.approx(2 / 3, abs=0.03)


def test_a_canvas_that_grows_cuts_off_nothing(crops):
    images, aspect, index = crops
    table = describe(ViewPreset(pick=(1, 1), rotate=15), images, aspect, seed=0, index=index)
    assert table["strokes_inside"].min() > 0.999


def test_what_is_inside_is_measured_on_the_views_whose_pixels_are(crops):
    images, aspect, index = crops
    preset = ViewPreset(pick=(1, 1), crop_horizontal=0.3)
    drawing = GuidanceViews(preset)
    geometry = drawing.geometry(drawing.policy.draw(seed=4, epoch=0, index=index), aspect)
    row = describe(preset, images, aspect, seed=4, index=index).iloc[0]
    assert (row["strokes_inside"], row["middle_inside"]) == pytest.approx(inside(geometry, to_unit(images)), abs=1e-6)


def test_statistics_are_the_same_with_any_number_of_threads():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (48, 3, 32, 128), dtype=np.uint8))
    preset = ViewPreset(pick=(1, 3), rotate=15, contrast=(0.5, 1.0), blur=(0.5, 1.5), jitter=JitterParams())
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(describe(preset, images, torch.full((48,), 4.0), seed=0, index=np.arange(48)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert other.equals(found[0])  # to the last bit
