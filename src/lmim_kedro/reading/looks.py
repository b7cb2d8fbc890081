"""Several looks at each crop, the surest of which counts: test-time augmentation."""

from collections.abc import Callable

import cv2
import numpy as np

from lmim_kedro.errors import InputError
from lmim_kedro.text.spelling import Reading

LOOKS = {1: (0.0,), 3: (0.0, 0.06, -0.035)}
"""Number of looks -> the margin that each adds on all four sides, as a share of the side; negative: cut off."""


def read_surest(read: Callable[[np.ndarray], list[Reading]], images: np.ndarray, looks: int) -> list[Reading]:
    """Read each crop as it is, looser and tighter, and keep the reading of the highest confidence.

    Args:
        read: reads uint8 crops (B, 3, H, W).
        images: (B, 3, H, W) uint8.
        looks: 1 (the crop as it is alone) or 3.

    Returns:
        B readings; of equally sure ones the first look's.

    Errors: InputError for another number of looks.

    Example:
        >>> read = lambda images: [Reading("dark" if image.mean() < 99 else "light", 0.5) for image in images]
        >>> read_surest(read, np.zeros((1, 3, 32, 128), np.uint8), looks=3)[0].text
        'dark'
    """
    if looks not in LOOKS:
        raise InputError(f"looks is {looks}: set it to one of {', '.join(map(str, LOOKS))}")
    if looks == 1 or not len(images):
        return read(images)
    readings = read(np.concatenate([with_margin(images, margin) for margin in LOOKS[looks]]))
    of_crop = (readings[number :: len(images)] for number in range(len(images)))
    return [max(some, key=lambda reading: reading.confidence) for some in of_crop]


def with_margin(images: np.ndarray, margin: float) -> np.ndarray:
    """Crops (B, 3, H, W) with a margin on each side, of the same size; the border's pixels go on into it.

    Example:
        >>> crop = np.zeros((1, 3, 32, 128), np.uint8)
        >>> crop[:, :, 0] = 200  # the first row
        >>> [int(with_margin(crop, margin)[0, 0, 1, 64]) for margin in (0.0, 0.06, -0.06)]
        [0, 200, 0]
    """
    if not margin:
        return images
    height, width = images.shape[2:]
    scale = 1 + 2 * margin
    # Centers of pixels lie at halves: x of the result shows (x + 0.5) * scale - margin * width - 0.5 of the crop.
    across = (scale - 1) / 2 - margin * width
    down = (scale - 1) / 2 - margin * height
    shown = np.array([[scale, 0, across], [0, scale, down]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = [
        cv2.warpAffine(image.transpose(1, 2, 0), shown, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for image in images
    ]
    return np.stack(warped).transpose(0, 3, 1, 2)
