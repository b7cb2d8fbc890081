"""A perceptual hash for word crops: 64 bits that stay nearly the same when a crop is re-encoded, scaled or brightened.

It keeps the signs of the 64 lowest frequencies of a gray 16 x 32 crop, without the mean brightness. A word is wide, so
a step of frequency across counts half of one down. The choice was measured (docs/performance.md).
"""

import cv2
import numpy as np

BITS = 64
_SIZE = (32, 16)
"""Width and height that a crop is scaled to, pixels."""

_NOISE = 0.01
"""Coefficients up to this are rounding errors: a crop of one color has the hash 0."""


def _lowest_frequencies() -> np.ndarray:
    across, down = np.meshgrid(np.arange(_SIZE[0]), np.arange(_SIZE[1]))
    distance = np.hypot(across / 2, down)
    distance[0, 0] = np.inf
    return np.sort(np.argsort(distance, axis=None, kind="stable")[:BITS])


_FREQUENCIES = _lowest_frequencies()


def perceptual_hash(pixels: np.ndarray) -> str:
    """Hash a crop.

    Args:
        pixels: (h, w, 3) uint8, BGR.

    Returns:
        16 hexadecimal digits.

    Example:
        >>> perceptual_hash(np.full((32, 128, 3), 90, np.uint8))
        '0000000000000000'
    """
    gray = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(gray, _SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.packbits(cv2.dct(small).ravel()[_FREQUENCIES] > _NOISE).tobytes().hex()


def hashes_as_numbers(hashes: list[str]) -> np.ndarray:
    """Return hashes of 16 digits as (N,) uint64, or of 32 digits as (N, 2), to compare bit by bit.

    Example:
        >>> hashes_as_numbers(["000000000000000a"]).tolist()
        [10]
    """
    numbers = np.frombuffer(bytes.fromhex("".join(hashes)), ">u8").astype(np.uint64)
    return numbers.reshape(len(hashes), -1) if len(numbers) != len(hashes) else numbers
