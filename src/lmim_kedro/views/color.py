"""Operations on the color of single pixels: batched, with values per crop.

All take images (n, 3, H, W), floats in [0, 1], which they may change, and values (n, p); all give (n, 3, H, W) in
[0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor, maximum, minimum, where

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray (ITU-R BT.601), as imgaug and torchvision have them."""

_MIDDLE = 127 / 255
"""What imgaug's linear contrast pulls towards."""


def per_crop(values: Tensor, number: int = 0) -> Tensor:
    """One column of values (n, p), shaped to go with images: (n, 1, 1, 1)."""
    return values[:, number].view(-1, 1, 1, 1)


def gray(images: Tensor) -> Tensor:
    """(n, 3, H, W) -> (n, 1, H, W)."""
    red, green, blue = images.split(1, dim=1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def contrast_about_middle(images: Tensor, values: Tensor) -> Tensor:
    """Imgaug's LinearContrast: 127 + factor * (value - 127) of 255. Values: factor."""
    return images.sub_(_MIDDLE).mul_(per_crop(values)).add_(_MIDDLE).clamp_(0, 1)


def solarize(images: Tensor, values: Tensor) -> Tensor:
    """Invert what is at or above the threshold, or what is below it. Values: threshold (0-255), above (1 or 0)."""
    chosen = images.ge(per_crop(values).div(255)).eq(per_crop(values, 1).gt(0.5))
    return where(chosen, 1 - images, images)


def blend_gray(images: Tensor, values: Tensor) -> Tensor:
    """Go from the image towards its gray version. Values: share of gray; 1: all gray, negative: more colorful."""
    return images.lerp_(gray(images), per_crop(values)).clamp_(0, 1)


def brightness(images: Tensor, values: Tensor) -> Tensor:
    """torchvision's: multiply. Values: factor."""
    return images.mul_(per_crop(values)).clamp_(0, 1)


def contrast_about_mean(images: Tensor, values: Tensor) -> Tensor:
    """torchvision's: away from, or towards, the mean of the gray image. Values: factor."""
    mean = gray(images.mean((2, 3), keepdim=True))
    return images.sub_(mean).mul_(per_crop(values)).add_(mean).clamp_(0, 1)


def saturation(images: Tensor, values: Tensor) -> Tensor:
    """torchvision's: away from, or towards, the gray image. Values: factor."""
    return blend_gray(images, 1 - values)


def hue(images: Tensor, values: Tensor) -> Tensor:
    """torchvision's: turn the hue, keeping HSV's saturation and value. Values: share of a full turn, -0.5 ... 0.5.

    With the hue in sixths of a turn, each channel is the largest value less the chroma times
    clamp(distance of the hue from that channel's own - 1, 0, 1), so no case has to be told apart on the way back.
    """
    red, green, blue = images.split(1, dim=1)
    largest = maximum(maximum(red, green), blue)
    chroma = largest - minimum(minimum(red, green), blue)
    sixths = where(
        largest == red,
        green - blue,
        where(largest == green, blue - red + 2 * chroma, red - green + 4 * chroma),
    )
    sixths = sixths.div_(chroma.clamp_min(1e-6)).add_(6 * per_crop(values))
    turned = images.new_empty(images.shape)
    for channel, own in enumerate((0, 2, 4)):
        distance = (sixths - own).abs_()  # at most 8, so once around the circle is enough
        distance = minimum(distance, (6 - distance).abs_()).sub_(1).clamp_(0, 1)
        turned[:, channel : channel + 1] = largest - distance.mul_(chroma)
    return turned.clamp_(0, 1)


def invert(images: Tensor, values: Tensor) -> Tensor:
    """The negative. Values: none."""
    return 1 - images


def posterize(images: Tensor, values: Tensor) -> Tensor:
    """Keep the highest bits of each value of 0-255. Values: 2 to the power of the bits that go."""
    lost = per_crop(values)
    return images.mul_(255).round_().div_(lost).floor_().mul_(lost).div_(255)


def solarize_add(images: Tensor, values: Tensor) -> Tensor:
    """Brighten what is darker than the middle. Values: by how much, of 255."""
    brighter = (images + per_crop(values).div(255)).clamp_(0, 1)
    return where(images < 127.5 / 255, brighter, images)


def auto_contrast(images: Tensor, values: Tensor) -> Tensor:
    """Stretch each channel so that its darkest value becomes 0 and its lightest 1. Values: none."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    span = high - low
    return where(span > 0.5 / 255, (images - low) / span.clamp_min(0.5 / 255), images)


def equalize(images: Tensor, values: Tensor) -> Tensor:
    """Give each channel an even histogram, as PIL's ImageOps.equalize does. Values: none."""
    levels = images.mul(255).round_().long().flatten(2)
    counts = images.new_zeros(*levels.shape[:2], 256).scatter_add_(2, levels, torch.ones_like(images).flatten(2))
    lightest = counts.gather(2, levels.amax(2, keepdim=True))
    step = (levels.shape[2] - lightest).div_(255).floor_()
    darker = counts.cumsum(2) - counts
    table = ((step / 2).floor_() + darker).div_(step.clamp_min(1)).floor_().clamp_(0, 255)
    evened = table.gather(2, levels).div_(255).view_as(images)
    return where(step.unsqueeze(3) > 0, evened, images)
