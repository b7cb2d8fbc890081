"""Are two crops the same picture? What hashes suggest is decided on the pixels of small colour pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from lmim_kedro.crops.decode import decode

_SIZE = (64, 16)
"""Width and height of the pictures, pixels."""

_FLAT = 3.0
"""Grey levels: a picture of less contrast (standard deviation) shows nothing that could be compared."""

_STRETCH = 1.15
"""Copies may differ by this factor in width / height: a border that was cut off, rounding when scaled."""

_CHUNK = 20_000


class Crops(Protocol):
    """What is needed of a store."""

    def fetch(self, indices: Sequence[int] | np.ndarray) -> list[bytes]:
        """Encoded crops."""
        ...


class Pictures(NamedTuple):
    """Crops made comparable.

    Attributes:
        colours: (N, 3072) float32: 16 x 64 pixels less their mean over all colours, of length 1; 0 for flat crops.
        grey: (N, 1024) float32: the same without colour.
        aspect: (N,) float32, width / height of the crops.
    """

    colours: np.ndarray
    grey: np.ndarray
    aspect: np.ndarray


def correlations(crops: Crops, left: np.ndarray, others: Crops, right: np.ndarray) -> np.ndarray:
    """Compare crops pair by pair.

    The correlation is the lower one of two, with and without colour. Without colour, the same word in another paint
    would pass; with colour, one mean taken off all three, another word in the same paint would. More brightness or
    contrast changes neither.

    Args:
        crops, left: a store and (P,) indices in it.
        others, right: the other store, which may be the same, and (P,) indices in it.

    Returns:
        (P,) float32 from -1 to 1; 0 for crops of different shape, and for those without contrast.
    """
    found = np.empty(len(left), np.float32)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(left), _CHUNK):
            part = slice(start, start + _CHUNK)
            ours, theirs = _pictures(crops, left[part], pool), _pictures(others, right[part], pool)
            shape = ours.aspect / theirs.aspect
            alike = (shape < _STRETCH) & (shape > 1 / _STRETCH)
            colours = np.einsum("ij,ij->i", ours.colours, theirs.colours)
            grey = np.einsum("ij,ij->i", ours.grey, theirs.grey)
            found[part] = np.where(alike, np.minimum(colours, grey), 0)
    return found


def _pictures(crops: Crops, indices: np.ndarray, pool: ThreadPoolExecutor) -> Pictures:
    """Decode each crop once, and repeat it for each pair that it is in."""
    distinct, place = np.unique(indices, return_inverse=True)
    made = pictures(crops.fetch(distinct), pool)
    return Pictures(made.colours[place], made.grey[place], made.aspect[place])


def pictures(encoded: Sequence[bytes], pool: ThreadPoolExecutor) -> Pictures:
    """Decode crops and make them comparable."""
    images = list(pool.map(decode, encoded, chunksize=64))
    small = np.empty((len(images), _SIZE[1], _SIZE[0], 3), np.float32)
    for place, image in enumerate(pool.map(_small, images, chunksize=64)):
        small[place] = image
    aspect = np.array([image.shape[1] / image.shape[0] for image in images], np.float32)
    return Pictures(_of_length_one(small), _of_length_one(small.mean(axis=3)), aspect)


def _of_length_one(values: np.ndarray) -> np.ndarray:
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    spread = flat.std(axis=1, keepdims=True)
    flat *= np.where(spread >= _FLAT, 1 / np.maximum(spread, _FLAT), 0) / flat.shape[1] ** 0.5
    return flat


def _small(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, _SIZE, interpolation=cv2.INTER_AREA)
