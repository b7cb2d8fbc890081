"""Crops from wherever the user has them -> decoded batches, made ahead of their use; a bad one keeps its place."""

import logging
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PIL

from lmim_kedro.crops.ahead import ahead
from lmim_kedro.crops.pixels import fitted, orientation, rgb_of, turned_if_tall, upright
from lmim_kedro.crops.sources.image_files import read_file
from lmim_kedro.crops.sources.open import Source, list_suffixes, open_images
from lmim_kedro.crops.sources.source import RawCrop
from lmim_kedro.crops.validate import decode_checked, quiet_decoders
from lmim_kedro.params import MAX_PIXELS

log = logging.getLogger(__name__)

LEAST_SIDE = 2
"""Pixels; an image that is one pixel high or wide shows no character."""

Image = str | PathLike[str] | PIL.Image | np.ndarray
"""A path, a PIL image, or an array (H, W, 3) RGB or (H, W) gray of uint8."""

NamedCrop = tuple[str | None, Image | RawCrop]


class BadCrop(ValueError):
    """An image that cannot be read; the message says why."""


@dataclass(frozen=True)
class StreamBatch:
    """Crops in the order in which they came.

    Attributes:
        keys: B names.
        errors: B reasons why a crop has no pixels; None where it has.
        images: (G, 3, H, W) uint8 RGB of the G good ones.
    """

    keys: list[str | None]
    errors: list[str | None]
    images: np.ndarray


def stream(
    crops: Iterable[NamedCrop],
    height: int,
    width: int,
    batch_size: int,
    threads: int = 2,
    max_pixels: int = MAX_PIXELS,
    keep_ratio: bool = False,
    rotate_tall: float | None = None,
) -> Iterator[StreamBatch]:
    """Decode crops in threads, two batches ahead of whoever takes them.

    Args:
        crops: names and images.
        height, width: size of the crops in a batch, pixels.
        batch_size: crops per batch.
        threads: threads that decode.
        max_pixels: an image with more pixels is an error, not decoded.
        keep_ratio, rotate_tall: how crops are prepared, as for pixels.decode_batch.

    Example:
        >>> crops = [("a", np.zeros((20, 50, 3), np.uint8)), ("b", "nowhere.png")]
        >>> for batch in stream(crops, 32, 128, batch_size=2):
        ...     print(batch.images.shape, batch.errors)
        (1, 3, 32, 128) [None, 'missing file']
    """

    def load(item: NamedCrop) -> np.ndarray | str:
        try:
            pixels = turned_if_tall(pixels_of(item[1], max_pixels), rotate_tall)
            return fitted(pixels, height, width, keep_ratio).transpose(2, 0, 1)
        except BadCrop as error:
            return str(error)

    def batches() -> Generator[StreamBatch, None, None]:
        waiting = iter(crops)
        with ThreadPoolExecutor(threads) as pool, quiet_decoders():
            while chunk := list(islice(waiting, batch_size)):
                loaded = list(pool.map(load, chunk))
                good = [image for image in loaded if isinstance(image, np.ndarray)]
                images = np.stack(good) if good else np.empty((0, 3, height, width), np.uint8)
                errors = [image if isinstance(image, str) else None for image in loaded]
                yield StreamBatch([key for key, _ in chunk], errors, images)

    return ahead(batches(), 2)


def crops_of(images: Image | Iterable[Image]) -> Iterator[NamedCrop]:
    """Name the crops that the user gave: one image or several, or the path of a folder, list or LMDB.

    Errors: InputError if the one path is a folder, list or LMDB without crops.
    """
    if isinstance(images, str | PathLike) and is_set(Path(images)):
        source = open_images(Path(images))
        if source.passed_over:
            log.warning("%s: %s", source.name, source.passed_over)
        return crops_of_source(source)
    if isinstance(images, str | PathLike | PIL.Image | np.ndarray):
        images = [images]
    return ((str(image) if isinstance(image, str | PathLike) else None, image) for image in images)


def crops_of_source(source: Source) -> Iterator[NamedCrop]:
    """The crops of a source under their keys."""
    return ((crop.key, crop) for crop in source.read(0, len(source)))


def pixels_of(image: Image | RawCrop, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Any image -> (h, w, 3) uint8 RGB, upright by its orientation tag; transparent parts show white. Errors: BadCrop.

    Example:
        >>> pixels_of(np.zeros((32, 128), np.uint8)).shape
        (32, 128, 3)
    """
    if isinstance(image, RawCrop | str | PathLike):
        data, reason = (image.data, image.reason) if isinstance(image, RawCrop) else read_file(Path(image))
        if data is None:
            raise BadCrop(reason or "missing file")
        decoded = decode_checked(data, max_pixels, as_shown=True)
        if decoded.pixels is None:
            raise BadCrop(decoded.facts.reason or "undecodable")
        pixels = cv2.cvtColor(decoded.pixels, cv2.COLOR_BGR2RGB)
    elif isinstance(image, np.ndarray):
        pixels = _of_array(image)
    elif isinstance(image, PIL.Image):
        pixels = _of_pil(image)
    else:
        raise BadCrop(f"{type(image).__name__} is no image: give a path, a PIL image or a uint8 array")
    if min(pixels.shape[:2]) < LEAST_SIDE:
        raise BadCrop(f"too small: {pixels.shape[1]} x {pixels.shape[0]} pixels")
    return pixels


def is_set(path: Path) -> bool:
    """Whether a path is a folder, a list, an LMDB, an archive or a pattern of files, and no image."""
    several = "*" in path.name and not path.exists()
    return path.is_dir() or path.name == "data.mdb" or several or path.suffix.lower() in list_suffixes()


def _of_array(array: np.ndarray) -> np.ndarray:
    shown = array[:, :, None] if array.ndim == 2 else array
    if array.dtype == np.uint8 and 0 not in array.shape and shown.ndim == 3:
        if shown.shape[2] == 1:
            return np.repeat(shown, 3, axis=2)
        if shown.shape[2] == 3:
            return np.ascontiguousarray(shown)
        if shown.shape[2] == 4:
            return _of_pil(PIL.fromarray(np.ascontiguousarray(shown)))
    raise BadCrop(
        f"an array of {array.dtype} and shape {array.shape}: uint8 of (height, width, 3), RGB, or (height, width) "
        "was expected"
    )


def _of_pil(image: PIL.Image) -> np.ndarray:
    if image.mode in ("I", "F"):
        raise BadCrop(f"unsupported mode: {image.mode}")
    try:
        image.load()  # a TIFF is turned by Pillow itself, which then drops its tag
        return upright(rgb_of(image), orientation(image))
    except Exception as error:  # an image may be read from its file only now, and raise whatever a broken file leads to
        raise BadCrop(f"undecodable: {error}") from error
