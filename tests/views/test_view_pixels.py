"""Operations on pixels: exact arithmetic, against OpenCV and the standard library."""

import colorsys

import cv2
import numpy as np
import pytest
import torch

from lmim_kedro.views import color, filters
from lmim_kedro.views.draws import UNUSED, Operation, apply_in_turn

NONE = torch.empty(1, 0)


@pytest.fixture
def images():
    return torch.rand(3, 3, 32, 128, generator=torch.Generator().manual_seed(0))


def values(*rows):
    return torch.tensor(rows, dtype=torch.float32)


def opencv(image, change):
    """Apply a function of (H, W, 3) arrays to (3, H, W)."""
    return torch.from_numpy(change(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))).permute(2, 0, 1)


def test_contrast_pulls_towards_127(images):
    found = color.contrast_about_middle(images.clone(), values([0.5], [0.75], [1.0]))
    assert torch.allclose(found[0] * 255, 127 + 0.5 * (images[0] * 255 - 127), atol=1e-3)
    assert torch.allclose(found[2], images[2], atol=1e-6)


def test_solarize_inverts_at_and_above_the_threshold_or_below_it():
    gray = torch.arange(256).float().div(255).view(1, 1, 2, 128).expand(2, 3, 2, 128).clone()
    above, below = color.solarize(gray, values([100, 1], [100, 0])).mul(255).round().int()[:, 0].flatten(1)
    level = torch.arange(256)
    assert above.tolist() == torch.where(level >= 100, 255 - level, level).tolist()
    assert below.tolist() == torch.where(level < 100, 255 - level, level).tolist()


def test_gray_blend_goes_all_the_way_to_gray(images):
    none, half, all_of_it = color.blend_gray(images.clone(), values([0], [0.5], [1]))
    luma = [0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2] for image in images]
    assert torch.allclose(none, images[0])
    assert torch.allclose(half, (images[1] + luma[1]) / 2, atol=1e-6)
    assert all(torch.allclose(channel, luma[2], atol=1e-6) for channel in all_of_it)


def test_brightness_multiplies_and_clips(images):
    found = color.brightness(images.clone(), values([0.6], [1.0], [1.4]))
    assert torch.allclose(found[0], images[0] * 0.6) and torch.equal(found[1], images[1])
    assert torch.allclose(found[2], (images[2] * 1.4).clamp(0, 1))


def test_jitter_contrast_is_about_the_mean_of_the_gray_crop(images):
    found = color.contrast_about_mean(images.clone(), values([0.6], [1.0], [1.4]))
    for image, view, factor in zip(images, found, (0.6, 1.0, 1.4), strict=True):
        mean = (0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]).mean()
        assert torch.allclose(view, (mean + factor * (image - mean)).clamp(0, 1), atol=1e-5)


def test_saturation_moves_away_from_gray_and_clips(images):
    found = color.saturation(images.clone(), values([0.8], [1.0], [1.2]))
    for image, view, factor in zip(images, found, (0.8, 1.0, 1.2), strict=True):
        luma = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
        assert torch.allclose(view, (luma + factor * (image - luma)).clamp(0, 1), atol=1e-5)


@pytest.mark.parametrize("shifts", [(-0.1, 0.0, 0.1), (-0.5, 0.37, 0.5)])
def test_hue_turns_as_in_hsv(images, shifts):
    images = images[..., ::4, ::16].clone()
    images[:, :, 0, 0] = 0.5  # gray pixels have no hue
    images[:, :, 0, 1] = torch.tensor([1.0, 0.0, 0.0])
    found = color.hue(images.clone(), values(*[[shift] for shift in shifts]))
    for image, view, shift in zip(images, found, shifts, strict=True):
        for pixel, turned in zip(image.flatten(1).T.tolist(), view.flatten(1).T.tolist(), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            assert turned == pytest.approx(colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value), abs=1e-5)


def test_blur_is_opencvs(images):
    taps = filters.gaussian_taps(np.array([[0.5], [1.0], [1.5]]))
    found = filters.gaussian_blur(images.clone(), torch.from_numpy(taps))
    for image, view, sigma in zip(images, found, (0.5, 1.0, 1.5), strict=True):
        assert torch.allclose(
            view, opencv(image, lambda pixels, s=sigma: cv2.GaussianBlur(pixels, (5, 5), s)), atol=1e-5
        )


def test_blur_reaches_as_far_as_imgaugs():
    assert [filters.blur_radius(sigma) for sigma in (0.5, 1.5, 2.5)] == [2, 2, 4]


def test_sharpen_blends_in_the_kernel_with_eight_plus_lightness_in_the_middle(images):
    found = filters.sharpen(images.clone(), values([0.0, 0.3], [0.4, 0.5], [0.5, 0.0]))
    for image, view, (alpha, light) in zip(images, found, ((0.0, 0.3), (0.4, 0.5), (0.5, 0.0)), strict=True):
        kernel = np.full((3, 3), -alpha)
        kernel[1, 1] = 1 - alpha + alpha * (8 + light)
        wanted = opencv(image, lambda pixels, k=kernel: cv2.filter2D(pixels, -1, k)).clamp(0, 1)
        assert torch.allclose(view, wanted, atol=1e-5)


def test_motion_kernels_sum_to_one_along_their_line():
    kernels = filters.motion_kernels(np.array([1, 3, 5, 4]), np.array([30, 0, 90, -45])).reshape(-1, 5, 5)
    assert kernels.sum((1, 2)) == pytest.approx(np.ones(4), abs=1e-6)
    assert kernels[0, 2, 2] == 1
    assert kernels[1, 2].tolist() == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 0])
    assert kernels[2, :, 2].tolist() == pytest.approx([0.2] * 5)
    assert kernels[3] == pytest.approx(kernels[3][::-1, ::-1], abs=1e-6)


def test_motion_blur_is_opencvs_filter(images):
    kernels = filters.motion_kernels(np.array([2, 3, 5]), np.array([10, 50, -70]))
    found = filters.motion_blur(images.clone(), torch.from_numpy(kernels))
    for image, view, kernel in zip(images, found, kernels.reshape(-1, 5, 5), strict=True):
        assert torch.allclose(view, opencv(image, lambda pixels, k=kernel: cv2.filter2D(pixels, -1, k)), atol=1e-5)


def test_each_halving_loses_more_detail_and_none_the_mean(images):
    details = [filters.lose_resolution(images, NONE, halvings).std().item() for halvings in (2, 3, 4)]
    assert images.std().item() > details[0] > details[1] > details[2] > 0
    assert filters.lose_resolution(images, NONE, 4).mean().item() == pytest.approx(images.mean().item(), abs=0.01)
    flat = torch.full((1, 3, 32, 128), 0.4)
    assert torch.allclose(filters.lose_resolution(flat, NONE, 4), flat, atol=1e-6)


@pytest.mark.parametrize("halvings", [2, 4])
def test_a_halving_is_a_step_of_opencvs_pyramid(images, halvings):
    small = torch.nn.functional.interpolate(images, (64, 256), mode="bilinear")
    for _ in range(halvings - 1):
        small = torch.stack([opencv(image, cv2.pyrDown) for image in small])
    wanted = torch.nn.functional.interpolate(small, (32, 128), mode="bilinear")
    assert torch.allclose(filters.lose_resolution(images, NONE, halvings), wanted, atol=1e-5)


def test_noise_is_normal_with_its_sigma_and_other_for_other_keys():
    flat = torch.full((3, 3, 32, 128), 0.5)
    keys = values([4, 0.25, 0.5], [4, 0.25, 0.5], [2, 0.75, 0.125])
    first, same, other = (filters.gaussian_noise(flat.clone(), keys) - 0.5) * 255
    assert torch.equal(first, same)
    assert first.std().item() == pytest.approx(4, rel=0.03) and other.std().item() == pytest.approx(2, rel=0.03)
    assert first.mean().item() == pytest.approx(0, abs=0.15)
    assert (first.abs() > 8).float().mean().item() == pytest.approx(0.0455, abs=0.008)
    row = first.flatten()
    for one, two in ((row, other.flatten()), (row[1:], row[:-1]), (row[128:], row[:-128])):
        assert abs(torch.corrcoef(torch.stack([one, two]))[0, 1].item()) < 0.04


def test_every_crop_gets_its_operations_in_its_own_order():
    def double(images, values):
        return images * 2

    def add(images, values):
        return images + values[:, 0].view(-1, 1, 1, 1)

    steps = np.array([[1.0], [1.0], [5.0], [7.0]], np.float32)
    operations = [
        Operation(double, np.empty((4, 0), np.float32), np.array([0, 1, UNUSED, UNUSED]), range(2)),
        Operation(add, steps, np.array([1, 0, 0, UNUSED]), range(2)),
    ]
    found = apply_in_turn(torch.full((4, 3, 2, 2), 3.0), operations)
    assert found[:, 0, 0, 0].tolist() == [7, 8, 8, 3]
