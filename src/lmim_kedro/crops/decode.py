"""Encoded crops -> pixels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from PIL import Image

cv2.setNumThreads(0)  # parallelism is over crops


class UndecodableCrop(ValueError):
    """Bytes that neither OpenCV nor PIL can turn into pixels."""


def decode(data: bytes) -> np.ndarray:
    """An encoded image -> (h, w, 3) uint8 RGB."""
    image = (
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if data
        else None
    )
    if image is not None:
        return image
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise UndecodableCrop(f"{len(data)} bytes that are no image: {error}") from error


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w, 3) -> (height, width, 3), aspect ignored (paper, section 4.2)."""
    shrinking = image.shape[0] > height and image.shape[1] > width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)


def decode_batch(
    blobs: Sequence[bytes], height: int, width: int, pool: ThreadPoolExecutor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Encoded crops -> (B, 3, height, width) uint8 RGB and (B,) float32 width / height before resizing."""
    images = np.empty((len(blobs), 3, height, width), np.uint8)
    aspect = np.empty(len(blobs), np.float32)

    def one(place: int) -> None:
        image = decode(blobs[place])
        aspect[place] = image.shape[1] / image.shape[0]
        images[place] = resize(image, height, width).transpose(2, 0, 1)

    for _ in map(one, range(len(blobs))) if pool is None else pool.map(one, range(len(blobs))):
        pass
    return images, aspect
