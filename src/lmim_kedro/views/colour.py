"""Colour operations on a batch, with one parameter per crop. Images are (B, 3, H, W) in [0, 1]; so are results."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BLUR_RADIUS = 4  # pixels; three times the largest sigma of any preset, rounded down
MIDDLE = 127 / 255


def _per_crop(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def luma(images: Tensor) -> Tensor:
    """(B, 1, H, W) grey, ITU-R 601."""
    red, green, blue = images.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue).unsqueeze(1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Distance to the middle grey times factor (B,)."""
    return torch.lerp(torch.full_like(images[:, :, :1, :1], MIDDLE), images, _per_crop(factor)).clamp_(0, 1)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with sigma (B,) pixels, edges reflected."""
    offset = torch.arange(BLUR_RADIUS + 1, device=images.device)
    weight = torch.exp(-0.5 * (offset[None] / sigma[:, None]) ** 2)
    weight = (weight / (weight[:, :1] + 2 * weight[:, 1:].sum(1, keepdim=True))).unbind(1)
    for dimension, padding in ((3, (BLUR_RADIUS, BLUR_RADIUS, 0, 0)), (2, (0, 0, BLUR_RADIUS, BLUR_RADIUS))):
        size = images.shape[dimension]
        padded = F.pad(images, padding, mode="reflect")
        images = images * _per_crop(weight[0])
        for step in range(1, BLUR_RADIUS + 1):
            before = padded.narrow(dimension, BLUR_RADIUS - step, size)
            images.addcmul_(before + padded.narrow(dimension, BLUR_RADIUS + step, size), _per_crop(weight[step]))
    return images


def sharpen(images: Tensor, alpha: Tensor, lightness: Tensor) -> Tensor:
    """Blend in, with alpha (B,), 8 + lightness (B,) times each pixel less its eight neighbours."""
    around = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), 3, stride=1) * 9 - images
    effect = images * _per_crop(8 + lightness) - around
    return torch.lerp(images, effect, _per_crop(alpha)).clamp_(0, 1)


def solarize(images: Tensor, threshold: Tensor, above: Tensor) -> Tensor:
    """Invert values from threshold (B,) up where above (B,) is 1, those below it where it is 0."""
    bright = images >= _per_crop(threshold)
    return torch.where(bright == _per_crop(above).bool(), 1 - images, images)


def grayscale_blend(images: Tensor, alpha: Tensor) -> Tensor:
    """Blend in the grey crop with alpha (B,)."""
    return torch.lerp(images, luma(images).expand_as(images), _per_crop(alpha))


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """All values times factor (B,), as torchvision's colour jitter does."""
    return (images * _per_crop(factor)).clamp_(0, 1)


def jitter_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Distance to the crop's mean grey times factor (B,)."""
    mean = luma(images).mean((2, 3), keepdim=True)
    return torch.lerp(mean, images, _per_crop(factor)).clamp_(0, 1)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Distance to each pixel's grey times factor (B,)."""
    return torch.lerp(luma(images).expand_as(images), images, _per_crop(factor)).clamp_(0, 1)


def hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by shift (B,) of the circle; value and saturation (HSV) stay."""
    red, green, blue = images.unbind(1)
    value, largest = images.max(1)
    spread = value - images.amin(1)
    safe = spread.clamp_min(1e-8)
    sixth = torch.where(
        largest == 0,
        (green - blue) / safe,
        torch.where(largest == 1, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    sixth = sixth + 6 * shift.view(-1, 1, 1)
    channels = []
    for start in (5.0, 3.0, 1.0):
        k = torch.remainder(sixth + start, 6.0)
        channels.append(value - spread * torch.minimum(k, 4 - k).clamp_(0, 1))
    return torch.stack(channels, 1).clamp_(0, 1)
