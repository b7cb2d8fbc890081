"""Blur, sharpening, motion blur, lost resolution, noise: operations with the arguments and results of color.py."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lmim_kedro.views.color import per_crop

MOTION_TAPS = 5  # rows and columns of a motion blur's kernel, and so the longest stroke, in pixels


def gaussian_taps(sigma: np.ndarray, radius: int = 2) -> np.ndarray:
    """One half of Gaussian kernels, from the middle outwards: (B, radius + 1) float32 for sigma (B, 1) in pixels.

    Example:
        >>> gaussian_taps(np.array([[0.5]]), radius=1).astype(float).round(3).tolist()
        [[0.787, 0.107]]
    """
    steps, wide = torch.arange(radius + 1), torch.from_numpy(sigma).float()
    taps = torch.exp(steps.square().neg() / (2 * wide.clamp_min(1e-2).square()))
    return (taps / (2 * taps.sum(1, keepdim=True) - 1)).numpy()


def gaussian_blur(images: Tensor, values: Tensor) -> Tensor:
    """Gaussian blur as OpenCV's, with mirrored edges. Values: `gaussian_taps`.

    Example:
        >>> taps = torch.from_numpy(gaussian_taps(np.array([[0.5], [1.5]])))
        >>> gaussian_blur(torch.rand(2, 3, 32, 128), taps).shape
        torch.Size([2, 3, 32, 128])
    """
    return _separable(images, [per_crop(values, step) for step in range(values.shape[1])]).clamp_(0, 1)


def blur_radius(sigma: float) -> int:
    """Radius of imgaug's blur, in pixels: its kernel is 3.3 sigma wide, and at least five taps.

    Example:
        >>> blur_radius(2.5)
        4
    """
    return max(int(3.3 * sigma), 5) // 2


def sharpen(images: Tensor, values: Tensor) -> Tensor:
    """Imgaug's Sharpen: blend in a kernel of 8 + lightness in the middle and -1 around it. Values: alpha, lightness.

    Example:
        >>> sharpen(torch.full((1, 3, 4, 4), 0.25), torch.tensor([[0.5, 2.0]]))[0, 0, 0]
        tensor([0.3750, 0.3750, 0.3750, 0.3750])
    """
    alpha, lightness = per_crop(values), per_crop(values, 1)
    around = _separable(images, (1.0, 1.0))
    return images.mul_(1 + alpha * (8 + lightness)).sub_(around.mul_(alpha)).clamp_(0, 1)


def motion_kernels(length: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Kernels of motion blur, (B, 25) float32 of sum 1: strokes of length (B,), 1 to 5 pixels, at angle (B,), degrees.

    Example:
        >>> motion_kernels(np.array([2]), np.array([0])).reshape(5, 5)[2].tolist()
        [0.0, 0.25, 0.5, 0.25, 0.0]
    """
    middle = MOTION_TAPS // 2
    step = np.arange(MOTION_TAPS)
    along = np.where(step < length[:, None], step - (length[:, None] - 1) / 2, 0)
    used = (step < length[:, None]) / length[:, None]
    radians = np.deg2rad(angle)[:, None]

    def tents(position: np.ndarray) -> np.ndarray:
        return np.clip(1 - np.abs(position[:, :, None] + middle - step), 0, None)

    rows, columns = tents(along * np.sin(radians)), tents(along * np.cos(radians))
    return np.einsum("bs,bsr,bsc->brc", used, rows, columns).reshape(-1, MOTION_TAPS**2).astype(np.float32)


def motion_blur(images: Tensor, values: Tensor) -> Tensor:
    """Blur along a line. Values: a kernel of `motion_kernels`.

    Example:
        >>> kernels = torch.from_numpy(motion_kernels(np.array([5]), np.array([45])))
        >>> motion_blur(torch.rand(1, 3, 32, 128), kernels).shape
        torch.Size([1, 3, 32, 128])
    """
    height, width = images.shape[-2:]
    edge = MOTION_TAPS // 2
    padded = F.pad(images, (edge,) * 4, mode="reflect")
    out = torch.zeros_like(images)
    for tap in range(MOTION_TAPS**2):
        row, column = divmod(tap, MOTION_TAPS)
        out.addcmul_(padded[:, :, row : row + height, column : column + width], per_crop(values, tap))
    return out.clamp_(0, 1)


def lose_resolution(images: Tensor, values: Tensor, halvings: int) -> Tensor:
    """ABINet's rescale: enlarge to 128 x 512, halve a few times with a binomial filter, scale back. Values: none.

    Example:
        >>> lose_resolution(torch.rand(1, 3, 32, 128), torch.empty(1, 0), halvings=3).shape
        torch.Size([1, 3, 32, 128])
    """
    height, width = images.shape[-2:]
    # The first halving loses nothing visible of a crop of 32 x 128, so the work begins after it, at 64 x 256.
    small = F.interpolate(images, (2 * height, 2 * width), mode="bilinear", align_corners=False)
    for _ in range(halvings - 1):
        small = _separable(small, (6 / 16, 4 / 16, 1 / 16))[..., ::2, ::2]
    return F.interpolate(small, (height, width), mode="bilinear", align_corners=False).clamp_(0, 1)


def gaussian_noise(images: Tensor, values: Tensor) -> Tensor:
    """Add independent normal noise to each value. Values: sigma (of 255), and two keys of 24 bits, as shares of 2^24.

    The noise is a hash of keys and place, so it is the same on every device and in every batch.

    Example:
        >>> given = torch.tensor([[4.0, 0.25, 0.5]])
        >>> torch.equal(*(gaussian_noise(torch.full((1, 3, 32, 128), 0.5), given) for _ in range(2)))
        True
    """
    hashed = _hashed_places(values[:, 1:3], images[0].numel())
    return images.addcmul_(_normal(hashed, images.dtype).view_as(images), per_crop(values) / 255).clamp_(0, 1)


def poisson_noise(images: Tensor, values: Tensor) -> Tensor:
    """Imgaug's AdditivePoissonNoise: add or subtract a Poisson number at each place, the same in all channels.

    Values: its mean (of 255), and two keys as for `gaussian_noise`.
    """
    hashed = _hashed_places(values[:, 1:3], images[0, 0].numel())
    normal, mean = _normal(hashed, images.dtype), values[:, :1]
    # For means above about 5, the rounded Cornish-Fisher expansion of a normal number is a Poisson number.
    number = (mean + mean.sqrt() * normal + (normal.square() - 1) / 6).round_().clamp_min_(0)
    noise = number.mul_((hashed & 1) * 2 - 1).div_(255)
    return images.add_(noise.view(len(images), 1, *images.shape[2:])).clamp_(0, 1)


def _hashed_places(keys: Tensor, places: int) -> Tensor:
    """(n, places) int64 with 32 random bits each, from two keys (n, 2) in [0, 1) of 24 bits."""
    keys = (keys * 2**24).long()
    place = torch.arange(places, device=keys.device)
    return _hash(_hash(place + keys[:, :1] * 128) ^ keys[:, 1:])


def _normal(hashed: Tensor, dtype: torch.dtype) -> Tensor:
    """Standard normal numbers from the upper 23 of 32 random bits; never infinite. Any shape."""
    uniform = (hashed >> 9).to(dtype).add_(0.5).mul_(2.0**-22).sub_(1)
    return torch.erfinv(uniform).mul_(math.sqrt(2))


def _separable(images: Tensor, taps: Sequence[Tensor | float]) -> Tensor:
    """Filter rows, then columns, of images (n, 3, H, W), mirrored at the edges.

    `taps` go from the middle outwards; each is a number, or one for each image, (n, 1, 1, 1).
    """
    radius = len(taps) - 1
    for axis, sides in ((3, (radius, radius, 0, 0)), (2, (0, 0, radius, radius))):
        size = images.shape[axis]
        padded = F.pad(images, sides, mode="reflect")
        images = images * taps[0]
        for step, tap in enumerate(taps[1:], start=1):
            pair = padded.narrow(axis, radius - step, size) + padded.narrow(axis, radius + step, size)
            images = images.addcmul_(pair, tap) if isinstance(tap, Tensor) else images.add_(pair, alpha=tap)
    return images


def _hash(x: Tensor) -> Tensor:
    """Mix the low 32 bits of int64 numbers, of any shape (Murmur3's finalizer); no product exceeds 63 bits."""
    low = 0xFFFFFFFF
    x = x & low
    for shift, factor in ((16, 0x45D9F3B), (15, 0x2C1B3C6D)):
        x = (x ^ (x >> shift)) * factor & low
    return x ^ (x >> 16)
