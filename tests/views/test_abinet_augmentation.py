"""ABINet's augmentation: probabilities, kinds and ranges; and that each crop gets its own."""

import numpy as np
import pytest
import torch

from lmim_kedro.views import filters
from lmim_kedro.views.abinet import KINDS, AbinetAugmentation, draw_kinds
from lmim_kedro.views.draws import UNUSED, Draws
from lmim_kedro.views.geometry import inverse_map

MANY = np.arange(12_000)


@pytest.fixture
def draws():
    return Draws("reading", seed=2, epoch=0, index=MANY)


@pytest.fixture
def kinds(draws):
    return draw_kinds(draws)


@pytest.fixture
def pixels(draws, kinds):
    return AbinetAugmentation().pixels(draws, kinds)


@pytest.fixture
def maps(draws, kinds):
    return AbinetAugmentation().geometry(draws, kinds, torch.full((len(MANY),), 3.0)).before


def test_half_of_the_crops_get_one_of_three_kinds_of_geometry(kinds):
    assert (kinds != UNUSED).mean() == pytest.approx(0.5, abs=0.015)
    assert np.bincount(kinds[kinds != UNUSED], minlength=3) / (kinds != UNUSED).sum() == pytest.approx(
        np.full(3, 1 / 3), abs=0.02
    )


def test_the_other_half_stays_where_it_is(kinds, maps):
    same = torch.eye(3).expand(int((kinds == UNUSED).sum()), 3, 3)
    assert torch.equal(maps[kinds == UNUSED], same)
    assert (maps[kinds != UNUSED] - torch.eye(3)).abs().amax((1, 2)).gt(1e-4).float().mean() > 0.99


def test_rotation_is_symmetric_up_to_45_degrees(kinds, maps):
    """In a crop of aspect 3, the map's columns are (cos, -sin) * canvas / size."""
    turned = maps[torch.from_numpy(kinds == KINDS.index("rotation"))]
    forward = inverse_map(turned)
    forward = forward / forward[:, 2:, 2:]
    native = torch.tensor([3.0, 1.0])
    ratio = (forward[:, 1, 0] / forward[:, 0, 0]).double()
    size_x = 1 / forward[:, 0, 0].double()  # canvas width / (crop width * cos)
    assert (size_x > 0).all() and native[0] == 3
    angle = np.rad2deg(np.arctan(_tangent(ratio.numpy(), 3.0)))
    assert np.abs(angle).max() < 45
    assert angle.mean() == pytest.approx(0, abs=1)
    assert angle.std() == pytest.approx(15, rel=0.05)  # 45 * sqrt(1 / 9)


def _tangent(ratio, aspect):
    """tan(angle) from the canvas-relative slope: slope = tan * (canvas width / canvas height), solved by bisection."""
    low, high = np.full_like(ratio, -1.0), np.full_like(ratio, 1.0)
    for _ in range(50):
        middle = (low + high) / 2
        width, height = aspect + np.abs(middle), aspect * np.abs(middle) + 1
        less = middle * width / height < ratio
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return (low + high) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_canvas_holds_the_whole_crop_and_no_more(kinds, maps, kind):
    chosen = maps[torch.from_numpy(kinds == KINDS.index(kind))]
    corners = torch.tensor([[0.0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]])
    places = corners @ inverse_map(chosen).transpose(1, 2)
    places = places[..., :2] / places[..., 2:]
    assert places.amin(1).numpy() == pytest.approx(np.zeros((len(chosen), 2)), abs=2e-3)
    assert places.amax(1).numpy() == pytest.approx(np.ones((len(chosen), 2)), abs=2e-3)


def test_a_quarter_is_deteriorated_with_all_three_in_random_order(pixels):
    noise = pixels[1]
    assert noise.apply is filters.gaussian_noise
    assert (noise.turns != UNUSED).mean() == pytest.approx(0.25, abs=0.012)
    used = noise.turns[noise.turns != UNUSED]
    assert np.bincount(used - 1) / len(used) == pytest.approx(np.full(3, 1 / 3), abs=0.03)


def test_noise_has_a_variance_of_one_to_twenty_mostly_small(pixels):
    variance = np.rint(pixels[1].values[:, 0] ** 2)
    assert set(variance) <= set(range(1, 21))
    # floor(20 * Beta(1, 4)) below 2 when Beta is below 0.1: 1 - 0.9^4.
    assert (variance == 1).mean() == pytest.approx(1 - 0.9**4, abs=0.015)


def test_motion_blur_is_rarely_longer_than_one_pixel_and_never_longer_than_five(pixels):
    motion = pixels[2]
    assert motion.apply is filters.motion_blur
    longer = (motion.turns != UNUSED).mean()
    assert longer == pytest.approx(0.25 * (2 / 3) ** 4, abs=0.006)  # floor(6 * Beta(1, 4)) of at least 2
    assert motion.values.max() <= 1 + 1e-6


def test_resolution_is_halved_up_to_four_times_the_ends_half_as_often(pixels):
    counts = np.array([(operation.turns != UNUSED).mean() for operation in pixels[3:6]])
    assert counts == pytest.approx(0.25 * np.array([1 / 4, 1 / 4, 1 / 8]), abs=0.01)


def test_a_small_scale_costs_detail(pixels, kinds):
    shrunk = pixels[0].turns != UNUSED
    assert (kinds[shrunk] == KINDS.index("affine")).all()
    assert shrunk.sum() / (kinds == KINDS.index("affine")).sum() == pytest.approx(1 / 3, abs=0.03)
    taps = pixels[0].values[shrunk].astype(float)  # exp(-x^2 / (2 sigma^2)) at x = 0, 1, 2, but for a factor
    with np.errstate(divide="ignore"):
        sigma = np.sqrt(-0.5 / np.log(taps[:, 1] / taps[:, 0]))
    assert sigma.min() < 0.25 and 0.85 < sigma.max() < 0.5 * np.sqrt(3) + 1e-4


def test_jitter_comes_last_on_a_quarter_with_abinets_strengths(pixels):
    jitter = pixels[6:]
    assert len(jitter) == 4
    for operation, most in zip(jitter, (0.5, 0.5, 0.5, 0.1), strict=True):
        used = operation.turns != UNUSED
        assert used.mean() == pytest.approx(0.25, abs=0.012)
        assert operation.turns[used].min() > max(other.turns.max() for other in pixels[:6])
        middle = 0 if most == 0.1 else 1
        assert np.abs(operation.values - middle).max() == pytest.approx(most, rel=0.01)


def test_every_crop_of_a_batch_gets_its_own(crops):
    images, aspect, _ = crops
    same = images[:1].expand(200, -1, -1, -1)
    views = AbinetAugmentation()(same, aspect[:1].expand(200), seed=0, epoch=0, index=np.arange(200))
    changed = (views - same.float() / 255).abs().mean((1, 2, 3)) > 1e-4
    # Untouched by all three: 0.5 * 0.75 * 0.75.
    assert changed.float().mean().item() == pytest.approx(1 - 0.28125, abs=0.1)
    seen = views[changed].flatten(1)
    assert len(torch.unique(seen, dim=0)) == len(seen)
