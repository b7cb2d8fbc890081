"""Operations on the color of single pixels, in batches, with values per crop.

Each takes images (n, 3, H, W), floats in [0, 1], which it may overwrite, and values (n, p), and returns images
(n, 3, H, W) in [0, 1].
"""

import torch
from torch import Tensor, maximum, minimum, where

LUMA = (0.299, 0.587, 0.114)  # red, green and blue in gray (ITU-R BT.601), as in imgaug and torchvision
_MIDDLE = 127 / 255  # the gray that imgaug's linear contrast keeps


def per_crop(values: Tensor, number: int = 0) -> Tensor:
    """One column of values (n, p), shaped (n, 1, 1, 1) to broadcast over images."""
    return values[:, number].view(-1, 1, 1, 1)


def gray(images: Tensor) -> Tensor:
    """Images (n, 3, H, W) in gray, (n, 1, H, W).

    Example:
        >>> gray(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)).item() == torch.tensor(LUMA[0]).item()
        True
    """
    red, green, blue = images.split(1, dim=1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def contrast_about_middle(images: Tensor, values: Tensor) -> Tensor:
    """Imgaug's LinearContrast: 127 + factor * (value - 127), in levels of 0-255. Values: factor."""
    return images.sub_(_MIDDLE).mul_(per_crop(values)).add_(_MIDDLE).clamp_(0, 1)


def solarize(images: Tensor, values: Tensor) -> Tensor:
    """Invert the pixels at or above a threshold, or those below it. Values: threshold (0-255), above (1 or 0).

    Example:
        >>> solarize(torch.tensor([0.25, 0.75]).expand(1, 3, 1, 2), torch.tensor([[128.0, 1]]))[0, 0].tolist()
        [[0.25, 0.25]]
    """
    chosen = images.ge(per_crop(values).div(255)).eq(per_crop(values, 1).gt(0.5))
    return where(chosen, 1 - images, images)


def blend_gray(images: Tensor, values: Tensor) -> Tensor:
    """Blend the image with its gray version. Values: share of gray; 1 is all gray, below 0 is more colorful."""
    return images.lerp_(gray(images), per_crop(values)).clamp_(0, 1)


def brightness(images: Tensor, values: Tensor) -> Tensor:
    """Multiply all values, as torchvision does. Values: factor."""
    return images.mul_(per_crop(values)).clamp_(0, 1)


def contrast_about_mean(images: Tensor, values: Tensor) -> Tensor:
    """Scale the distance to the mean of the gray image, as torchvision does. Values: factor."""
    mean = gray(images.mean((2, 3), keepdim=True))
    return images.sub_(mean).mul_(per_crop(values)).add_(mean).clamp_(0, 1)


def saturation(images: Tensor, values: Tensor) -> Tensor:
    """Scale the distance to the gray image, as torchvision does. Values: factor."""
    return blend_gray(images, 1 - values)


def hue(images: Tensor, values: Tensor) -> Tensor:
    """Rotate the hue and keep HSV's saturation and value, as torchvision does. Values: share of a turn, -0.5 to 0.5.

    Example:
        >>> hue(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1), torch.tensor([[1 / 3]])).flatten().round().tolist()
        [0.0, 1.0, 0.0]
    """
    red, green, blue = images.split(1, dim=1)
    largest = maximum(maximum(red, green), blue)
    chroma = largest - minimum(minimum(red, green), blue)
    of_green_or_blue = where(largest == green, blue - red + 2 * chroma, red - green + 4 * chroma)
    sixths = where(largest == red, green - blue, of_green_or_blue)
    sixths = sixths.div_(chroma.clamp_min(1e-6)).add_(6 * per_crop(values))
    # Back to RGB without cases: a channel is the largest value, less the chroma times how far the hue is from its own.
    own = torch.arange(0, 6, 2, device=images.device).view(1, 3, 1, 1)
    distance = (sixths - own).abs_()  # at most 8, so once around the circle is enough
    distance = minimum(distance, (6 - distance).abs_()).sub_(1).clamp_(0, 1)
    return (largest - distance.mul_(chroma)).clamp_(0, 1)


def invert(images: Tensor, values: Tensor) -> Tensor:
    """Invert every pixel. Values: none."""
    return 1 - images


def posterize(images: Tensor, values: Tensor) -> Tensor:
    """Keep the highest bits of each level of 0-255. Values: 2 to the power of the number of bits dropped.

    Example:
        >>> posterize(torch.full((1, 3, 1, 1), 0.9), torch.tensor([[64.0]])).mul(255).flatten()
        tensor([192., 192., 192.])
    """
    lost = per_crop(values)
    return images.mul_(255).round_().div_(lost).floor_().mul_(lost).div_(255)


def solarize_add(images: Tensor, values: Tensor) -> Tensor:
    """Brighten the pixels that are darker than the middle. Values: how much to add, of 255."""
    brighter = (images + per_crop(values).div(255)).clamp_(0, 1)
    return where(images < 127.5 / 255, brighter, images)


def auto_contrast(images: Tensor, values: Tensor) -> Tensor:
    """Stretch each channel to the whole range of 0 to 1. Values: none.

    Example:
        >>> auto_contrast(torch.tensor([0.25, 0.5]).expand(1, 3, 1, 2), torch.empty(1, 0))[0, 0]
        tensor([[0., 1.]])
    """
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
