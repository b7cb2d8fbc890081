"""Crops kept as plain pixels at the size of training: nothing to decode or resize, for several times the disk.

The format is PPM, which every image library reads; its comment keeps how large the crop was.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

_HEADER = re.compile(rb"P6\n#of (\d+)x(\d+)\n(\d+) (\d+)\n255\n")


class Uncompressed(NamedTuple):
    """Pixels (h, w, 3) uint8 RGB, a read-only view of the bytes, and width / height of the crop they were made of."""

    pixels: np.ndarray
    aspect: float


def write_uncompressed(pixels: np.ndarray, width: int, height: int) -> bytes:
    """(h, w, 3) uint8 RGB of a crop that was `width` x `height` pixels -> bytes of a PPM file."""
    rows, columns, _ = pixels.shape
    return b"P6\n#of %dx%d\n%d %d\n255\n" % (width, height, columns, rows) + pixels.tobytes()


def read_uncompressed(data: bytes) -> Uncompressed | None:
    """Bytes of `write_uncompressed` -> what it was given; None: these are other bytes."""
    header = _HEADER.match(data)
    if header is None:
        return None
    width, height, columns, rows = map(int, header.groups())
    if len(data) - header.end() != rows * columns * 3:
        return None
    pixels = np.frombuffer(data, np.uint8, offset=header.end()).reshape(rows, columns, 3)
    return Uncompressed(pixels, width / height)
