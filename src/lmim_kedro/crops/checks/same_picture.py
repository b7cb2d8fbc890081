"""Are two crops the same picture? What hashes suggest is decided on the pixels of small color pictures."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np

from lmim_kedro.crops.ahead import cores
from lmim_kedro.crops.pixels import CropStore, decode

_SIZE = (64, 16)
"""Width and height of the pictures, pixels."""

_FLAT = 3.0
"""Gray levels: a picture of less contrast (standard deviation) shows nothing that could be compared."""

_STRETCH = 1.15
"""Copies may differ by this factor in width / height: a border that was cut off, rounding when scaled."""

_BORDERS = (0, 1, 2)
"""Pixels that are cut off each side of one crop of a pair, in turn: copies are often cut a little tighter."""

_SMALLEST = 8
"""Pixels that must be left, across and down."""

_CHUNK = 20_000
_AT_ONCE = 512
"""Encoded crops that are held: each may be a photograph."""


class Pictures(NamedTuple):
    """Crops made comparable.

    Attributes:
        colors: (N, 3072) float32: 16 x 64 pixels less their mean over all colors, of length 1; 0 for flat crops.
        gray: (N, 1024) float32: the same without color.
        aspect: (N,) float32, width / height of the crops.
    """

    colors: np.ndarray
    gray: np.ndarray
    aspect: np.ndarray


def correlations(crops: CropStore, left: np.ndarray, others: CropStore, right: np.ndarray) -> np.ndarray:
    """Compare crops pair by pair.

    The correlation is the lower one of two, with and without color. Without color, the same word in another paint
    would pass; with color, one mean taken off all three, another word in the same paint would. More brightness or
    contrast changes neither. Both are also compared with 1 and 2 pixels cut off all sides of one crop; the most alike
    count.

    Args:
        crops, left: a store and (P,) indices in it.
        others, right: the other store, which may be the same, and (P,) indices in it.

    Returns:
        (P,) float32 from -1 to 1; 0 for crops of different shape, and for those without contrast.
    """
    found = np.empty(len(left), np.float32)
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(left), _CHUNK):
            part = slice(start, start + _CHUNK)
            ours, our_place = _pictures(crops, left[part], pool)
            theirs, their_place = _pictures(others, right[part], pool)
            pairs = [(0, border) for border in _BORDERS] + [(border, 0) for border in _BORDERS[1:]]
            tried = [_correlation(ours[a], our_place, theirs[b], their_place) for a, b in pairs]
            found[part] = np.max(tried, axis=0)
    return found


def _correlation(ours: Pictures, our_place: np.ndarray, theirs: Pictures, their_place: np.ndarray) -> np.ndarray:
    shape = ours.aspect[our_place] / theirs.aspect[their_place]
    alike = np.flatnonzero((shape < _STRETCH) & (shape > 1 / _STRETCH))
    mine, other = our_place[alike], their_place[alike]
    found = np.zeros(len(our_place), np.float32)
    gray = np.einsum("ij,ij->i", ours.gray[mine], theirs.gray[other])
    found[alike] = np.minimum(np.einsum("ij,ij->i", ours.colors[mine], theirs.colors[other]), gray)
    return found


def _pictures(crops: CropStore, indices: np.ndarray, pool: ThreadPoolExecutor) -> tuple[list[Pictures], np.ndarray]:
    """Decode each crop once; return them by border, and the place in them of each index."""
    distinct, place = np.unique(indices, return_inverse=True)
    small = np.empty((len(_BORDERS), len(distinct), _SIZE[1], _SIZE[0], 3), np.float32)
    aspect = np.empty((len(_BORDERS), len(distinct)), np.float32)
    for start in range(0, len(distinct), _AT_ONCE):
        for number, trimmed in enumerate(pool.map(_trimmed, crops.fetch(distinct[start : start + _AT_ONCE])), start):
            for border, (image, shape) in enumerate(trimmed):
                small[border, number], aspect[border, number] = image, shape
    shapes = zip(small, aspect, strict=True)
    return [Pictures(_unit(each), _unit(each.mean(axis=3)), shape) for each, shape in shapes], place


def _trimmed(data: bytes) -> list[tuple[np.ndarray, float]]:
    """A crop's small picture and width / height, for each border that is cut off; the large ones are not kept."""
    image = decode(data)
    height, width, _ = image.shape
    borders = [border if min(height, width) >= _SMALLEST + 2 * border else 0 for border in _BORDERS]
    cut = [image[border : height - border, border : width - border] for border in borders]
    return [(cv2.resize(each, _SIZE, interpolation=cv2.INTER_AREA), each.shape[1] / each.shape[0]) for each in cut]


def _unit(values: np.ndarray) -> np.ndarray:
    """Each picture less its mean, at length 1, so that a product of two is their correlation; 0 for flat ones."""
    flat = values.reshape(len(values), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    spread = flat.std(axis=1, keepdims=True)
    flat *= np.where(spread >= _FLAT, 1 / np.maximum(spread, _FLAT), 0) / flat.shape[1] ** 0.5
    return flat
