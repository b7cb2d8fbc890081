"""Maps of the unit square: against OpenCV, and against what a drawn square must become."""

import cv2
import numpy as np
import pytest
import torch

from lmim_kedro.views.draws import UNUSED
from lmim_kedro.views.geometry import (
    Geometry,
    compose,
    crop_map,
    identity_map,
    inverse_map,
    inwards,
    linear_map,
    quadrilateral_map,
    rotation,
)


def through(maps, points):
    """Points (n, 2) through each of (B, 3, 3) -> (B, n, 2)."""
    whole = torch.cat([points, torch.ones(len(points), 1)], 1)
    out = whole @ maps.transpose(1, 2)
    return out[..., :2] / out[..., 2:]


CORNERS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


def turned(aspect, degrees):
    return linear_map(rotation(torch.tensor([degrees])), torch.tensor([aspect]))


@pytest.mark.parametrize("aspect", [0.5, 1.0, 4.0, 12.0])
def test_rotation_keeps_lengths_and_angles_in_the_native_aspect(aspect):
    degrees = 15.0
    back = inverse_map(turned(aspect, degrees))
    radians = np.deg2rad(degrees)
    canvas = torch.tensor(
        [aspect * np.cos(radians) + np.sin(radians), aspect * np.sin(radians) + np.cos(radians)], dtype=torch.float32
    )
    half = 0.1 * min(aspect, 1)
    square = torch.tensor([[-half, -half], [half, -half], [half, half], [-half, half]])
    drawn = through(back, square / torch.tensor([aspect, 1.0]) + 0.5)[0] * canvas
    sides = (drawn.roll(-1, 0) - drawn).norm(dim=1)
    assert sides.tolist() == pytest.approx([2 * half] * 4, rel=1e-4)
    assert abs((drawn[1] - drawn[0]) @ (drawn[2] - drawn[1])).item() < 1e-5
    side = drawn[1] - drawn[0]
    assert torch.rad2deg(torch.atan2(side[1], side[0])).item() == pytest.approx(degrees, abs=1e-2)


@pytest.mark.parametrize("degrees", [-45.0, -15.0, 3.0, 15.0, 45.0])
@pytest.mark.parametrize("aspect", [0.5, 3.0, 10.0])
def test_canvas_grows_so_that_all_corners_stay_inside_and_touch_its_edges(aspect, degrees):
    places = through(inverse_map(turned(aspect, degrees)), CORNERS)[0]
    assert places.min().item() == pytest.approx(0, abs=1e-5)
    assert places.max().item() == pytest.approx(1, abs=1e-5)
    assert places.min(0).values.tolist() == pytest.approx([0, 0], abs=1e-5)


def test_rotation_of_a_crop_is_opencvs_rotation_of_the_native_crop():
    native = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 256), dtype=np.uint8), (0, 0), 6)
    degrees, (height, width) = 10.0, native.shape
    radians = np.deg2rad(degrees)
    new = (
        round(width * np.cos(radians) + height * np.sin(radians)),
        round(width * np.sin(radians) + height * np.cos(radians)),
    )
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1)
    matrix[:, 2] += (np.array(new) - [width, height]) / 2
    whole = cv2.warpAffine(native, matrix, new, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    wanted = cv2.resize(whole, (128, 32), interpolation=cv2.INTER_AREA)
    squeezed = torch.from_numpy(cv2.resize(native, (128, 32), interpolation=cv2.INTER_AREA)).float()
    found = Geometry(turned(4.0, degrees)).sample(squeezed.expand(1, 3, 32, 128))
    assert (found[0, 0] - torch.from_numpy(wanted).float()).abs().mean() < 1.5


def test_perspective_is_opencvs_homography():
    moved = torch.tensor([[0.1, 0.05, 0.02, 0.2, 0.15, 0.1, 0.0, 0.08]])
    corners = inwards(moved)
    assert corners[0].tolist() == [
        pytest.approx(corner) for corner in ([0.1, 0.05], [0.98, 0.2], [0.85, 0.9], [0.0, 0.92])
    ]
    wanted = cv2.getPerspectiveTransform(CORNERS.numpy(), corners[0].numpy())
    assert quadrilateral_map(corners)[0].numpy() == pytest.approx(wanted, abs=1e-5)
    points = torch.rand(20, 2, generator=torch.Generator().manual_seed(0))
    there = through(quadrilateral_map(corners), points)
    back = through(inverse_map(quadrilateral_map(corners)), there[0])
    assert back[0].numpy() == pytest.approx(points.numpy(), abs=1e-5)


def test_crop_fills_the_canvas_with_what_is_left():
    cut = crop_map(*torch.tensor([[0.1], [0.2], [0.05], [0.0]]))
    assert through(cut, CORNERS)[0].flatten().tolist() == pytest.approx([0.1, 0.05, 0.8, 0.05, 0.8, 1, 0.1, 1])


def test_composition_is_one_operation_after_the_other_in_each_crops_own_order():
    aspect = torch.full((3,), 3.0)
    cut = crop_map(*torch.tensor([[0.2], [0.0], [0.0], [0.1]]).expand(4, 3))
    turn = linear_map(rotation(torch.full((3,), 20.0)), aspect)
    whole = compose([cut, turn], np.array([[0, 1], [1, 0], [UNUSED, 4]]), aspect)
    assert torch.allclose(whole[0], cut[0] @ turn[0], atol=1e-6)  # cut first: what it gives is what the turn is given
    assert torch.allclose(whole[1], turn[1] @ cut[1], atol=1e-6)
    assert torch.allclose(whole[2], turn[2], atol=1e-6)
    assert not torch.allclose(whole[0], whole[1], atol=1e-2)


def test_identity_gives_the_crop_back():
    images = torch.rand(2, 3, 32, 128, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(Geometry(identity_map(torch.ones(2))).sample(images), images, atol=1e-4)


def test_warp_moves_the_points_of_its_grid_and_those_between_them_less():
    knots = torch.zeros(1, 2, 4, 4)
    knots[0, 0, 1, 1] = 0.04
    points = Geometry(identity_map(torch.ones(1)), knots).points(96, 96)
    offset = points[0, ..., 0] - (torch.arange(96) + 0.5) / 96
    assert divmod(int(offset.argmax()), 96) in {(31, 31), (31, 32), (32, 31), (32, 32)}
    assert offset.max().item() == pytest.approx(0.04, abs=2e-3)
    assert offset[:, 70:].abs().max() < 1e-6 and offset[70:].abs().max() < 1e-6


def test_warp_happens_between_what_comes_before_and_after_it():
    half = crop_map(*torch.tensor([[0.0], [0.5], [0.0], [0.0]]))
    knots = torch.full((1, 2, 4, 4), 0.0)
    knots[:, 0] = 0.1
    before = Geometry(half, knots, identity_map(torch.ones(1))).points(8, 8)
    after = Geometry(identity_map(torch.ones(1)), knots, half).points(8, 8)
    x = (torch.arange(8) + 0.5) / 8
    assert before[0, 0, :, 0].tolist() == pytest.approx(((x + 0.1) / 2).tolist())
    assert after[0, 0, :, 0].tolist() == pytest.approx((x / 2 + 0.1).tolist())


def test_beyond_the_edge_is_the_edges_color():
    images = torch.full((1, 3, 32, 128), 0.3)
    assert torch.allclose(Geometry(turned(4.0, 45.0)).sample(images), images)


def test_turning_a_long_word_comes_closer_to_its_area_average_than_one_sample_a_pixel():
    noise = torch.rand(1, 3, 16, 64, generator=torch.Generator().manual_seed(0))
    strokes = torch.nn.functional.interpolate(noise, (32, 128), mode="nearest").round()
    geometry = Geometry(linear_map(rotation(torch.tensor([12.0])), torch.tensor([10.0])))

    def read(height, width):
        points = geometry.points(height, width) * 2 - 1
        return torch.nn.functional.grid_sample(strokes, points, padding_mode="border", align_corners=False)

    average = torch.nn.functional.avg_pool2d(read(32 * 16, 128 * 4), (16, 4))
    assert (geometry.sample(strokes) - average).abs().mean() < 0.65 * (read(32, 128) - average).abs().mean()
