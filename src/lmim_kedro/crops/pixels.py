"""Encoded crops -> pixels -> what a model takes."""

import io
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from PIL import Image

from lmim_kedro.crops.containers import container_fault
from lmim_kedro.errors import InputError
from lmim_kedro.params import MAX_PIXELS

cv2.setNumThreads(0)  # parallelism is over crops

_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_UNCOMPRESSED = re.compile(rb"P6\n#of (\d+)x(\d+)\n(\d+) (\d+)\n255\n")
_AT_ONCE = 16
"""Crops that a thread decodes before it takes the next ones."""
_BAND = 2**20
"""Pixels that are converted at a time."""

Images = TypeVar("Images")


class CropStore(Protocol):
    """Crops by index, such as a packed store."""

    def __len__(self) -> int:
        """Crops in the store."""
        ...

    def fetch(self, indices: Sequence[int] | np.ndarray) -> list[bytes]:
        """Encoded crops."""
        ...

    def labels(self, indices: Sequence[int] | np.ndarray) -> list[str]:
        """Their labels."""
        ...

    def name_of(self, index: int) -> str:
        """Which crop the one at an index is, for a sentence about it."""
        ...


class UndecodableCrop(InputError):
    """Bytes that neither OpenCV nor PIL can turn into pixels; `place` says which of a batch."""

    place = 0


def decode(data: bytes) -> np.ndarray:
    """An encoded image of a packed store -> (h, w, 3) uint8 RGB, whatever its mode.

    OpenCV decodes; PIL reads what OpenCV cannot (CMYK, GIF, ...). Ingest stores partly transparent crops on white; use
    `validate.decode_checked` for crops that have not been through it. A crop that was damaged since, so that it claims
    to be far larger than it is, costs no memory.

    Raises:
        UndecodableCrop: if neither can decode it.

    Example:
        >>> decode(cv2.imencode(".png", np.zeros((32, 100, 3), np.uint8))[1].tobytes()).shape
        (32, 100, 3)
    """
    if (fault := container_fault(data, MAX_PIXELS)) is not None:
        raise UndecodableCrop(f"{len(data):,} bytes that are no image ({fault})")
    # libpng writes a warning to the terminal for every odd color profile, which is not used anyway.
    profiled = data.startswith(b"\x89PNG") and b"iCCP" in data[:256]
    gray_levels = data[:1] == b"P" and data[1:2].isdigit()  # OpenCV does not scale those of PNM files to 255
    try:
        plain = data and not profiled and not gray_levels
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS) if plain else None
        if image is not None:
            return image
        with Image.open(io.BytesIO(data)) as file:
            return rgb_of(file)
    except Exception as error:  # of OpenCV, or whatever a broken file leads Pillow's readers to
        raise UndecodableCrop(f"{len(data):,} bytes that are no image") from error


_ORIENTATION = 0x0112
_TURNS: dict[int, tuple[bool, int]] = {
    2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3), 8: (False, 1)
}  # fmt: skip
"""EXIF orientation -> whether to mirror left and right, then how many quarter turns counter-clockwise."""


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of a PIL image, 1 to 8; 1, upright, where it has none or one that cannot be read."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # whatever a broken tag leads Pillow's readers to: it does not make the pixels unreadable
        return 1
    return found if found in _TURNS else 1


def upright(pixels: np.ndarray, tag: int) -> np.ndarray:
    """Turn pixels as they are stored, (h, w, ...), as an EXIF orientation says that they are shown.

    Example:
        >>> upright(np.array([[1, 2, 3]]), 6).tolist()
        [[1], [2], [3]]
    """
    mirrored, quarters = _TURNS.get(tag, (False, 0))
    return np.ascontiguousarray(np.rot90(pixels[:, ::-1] if mirrored else pixels, quarters))


def turned_back(pixels: np.ndarray, tag: int) -> np.ndarray:
    """What `upright` turned, as it is stored.

    Example:
        >>> turned_back(upright(np.array([[1, 2, 3]]), 6), 6).tolist()
        [[1, 2, 3]]
    """
    mirrored, quarters = _TURNS.get(tag, (False, 0))
    back = np.rot90(pixels, -quarters)
    return np.ascontiguousarray(back[:, ::-1] if mirrored else back)


def rgb_of(image: Image.Image) -> np.ndarray:
    """A PIL image -> (h, w, 3) uint8 RGB: the upper 8 of 16 bits, transparent parts on white."""
    if image.mode == "I" and image.format == "PPM":  # Pillow has scaled its gray levels to 16 bits
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if image.mode.startswith("I;16"):  # Pillow would clip to 255 what it does not scale
        return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top, band in bands_of(image):
        if has_alpha(image):
            layer = band.convert("RGBA")
            band = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        pixels[top : top + band.height] = np.asarray(band.convert("RGB"))
    return pixels


def has_alpha(image: Image.Image) -> bool:
    """Whether a PIL image may have transparent parts, by its mode."""
    return "A" in image.getbands() or "transparency" in image.info


def bands_of(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The rows of a PIL image, some at a time, with the number of the first: what is made of them takes little memory.

    Example:
        >>> [(top, band.size) for top, band in bands_of(Image.new("L", (1_000_000, 3)))]
        [(0, (1000000, 1)), (1, (1000000, 1)), (2, (1000000, 1))]
    """
    image.load()
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w, 3) -> (height, width, 3), aspect ignored (paper, section 4.2).

    Bicubic along an axis that is enlarged, area means along one that is shrunk. Among OpenCV's methods this is the
    nearest to PIL's bicubic, which the released code uses and which averages where it shrinks (docs/performance.md).

    Example:
        >>> resize(np.zeros((20, 300, 3), np.uint8), 32, 128).shape
        (32, 128, 3)
    """
    smaller = (min(image.shape[1], width), min(image.shape[0], height))
    if smaller != (image.shape[1], image.shape[0]):
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    return image if smaller == (width, height) else cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)


def turned_if_tall(image: np.ndarray, rotate_tall: float | None, aspect: float | None = None) -> np.ndarray:
    """Turn a crop (h, w, 3) by 90 degrees counter-clockwise, as `ingest.rotate_tall` does, if it is that tall.

    Args:
        image: the crop.
        rotate_tall: height / width above which it is turned; None: never.
        aspect: width / height that it had before it was resized; None: it was not.

    Example:
        >>> turned_if_tall(np.zeros((50, 20, 3), np.uint8), 2.0).shape
        (20, 50, 3)
    """
    height, width = image.shape[:2] if aspect is None else (1.0, aspect)
    tall = rotate_tall is not None and height > rotate_tall * width
    return np.ascontiguousarray(np.rot90(image)) if tall else image


def fitted(image: np.ndarray, height: int, width: int, keep_ratio: bool = False) -> np.ndarray:
    """(h, w, 3) -> (height, width, 3), as the model takes it: by `resize`, or in its own ratio.

    Args:
        image: the crop.
        height, width: pixels.
        keep_ratio: scale to the height, no wider than the width, and repeat the last column to the right.

    Example:
        >>> crop = np.zeros((32, 32, 3), np.uint8)
        >>> crop[:, 16:] = 200
        >>> int((fitted(crop, 32, 128, keep_ratio=True)[0, :, 0] == 0).sum())
        16
    """
    if not keep_ratio:
        return resize(image, height, width)
    scaled = min(width, max(1, round(image.shape[1] * height / image.shape[0])))
    return cv2.copyMakeBorder(resize(image, height, scaled), 0, 0, 0, width - scaled, cv2.BORDER_REPLICATE)


def shown_aspect(aspect: np.ndarray, height: int, width: int, keep_ratio: bool) -> np.ndarray:
    """Width / height (B,) of what B prepared crops show: the crop's, or that of crop and filling where `fitted` fills.

    Example:
        >>> shown_aspect(np.array([2.0, 6.0]), 32, 128, keep_ratio=True).tolist()
        [4.0, 6.0]
    """
    return np.maximum(aspect, aspect.dtype.type(width / height)) if keep_ratio else aspect


def decode_batch(
    blobs: Sequence[bytes],
    height: int,
    width: int,
    pool: ThreadPoolExecutor | None = None,
    keep_ratio: bool = False,
    rotate_tall: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Encoded crops -> (B, 3, height, width) uint8 RGB, and (B,) float32 width / height before resizing.

    A crop that is kept uncompressed has the width / height that it had before it was resized for that.

    Args:
        blobs: B encoded images.
        height, width: size of the result, pixels.
        pool: threads that share the work; None: this thread does it.
        keep_ratio: as for `fitted`.
        rotate_tall: as for `turned_if_tall`.
    """
    images = np.empty((len(blobs), 3, height, width), np.uint8)
    aspect = np.empty(len(blobs), np.float32)

    def fill(start: int, stop: int) -> None:
        for place in range(start, stop):
            plain = _read_uncompressed(blobs[place])
            if plain is not None:
                image, aspect[place] = plain
            else:
                try:
                    image = decode(blobs[place])
                except UndecodableCrop as error:
                    error.place = place
                    raise
                aspect[place] = image.shape[1] / image.shape[0]
            turned = turned_if_tall(image, rotate_tall, None if plain is None else plain[1])
            if turned is not image:
                image, aspect[place] = turned, 1 / aspect[place]
            cv2.split(fitted(image, height, width, keep_ratio), list(images[place]))

    if pool is None:
        fill(0, len(blobs))
    else:
        starts = range(0, len(blobs), _AT_ONCE)
        list(pool.map(fill, starts, (min(start + _AT_ONCE, len(blobs)) for start in starts)))
    return images, aspect


def decode_stored(
    store: CropStore,
    indices: Sequence[int] | np.ndarray,
    height: int,
    width: int,
    pool: ThreadPoolExecutor | None = None,
    keep_ratio: bool = False,
    rotate_tall: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Crops of a store as `decode_batch` gives them.

    Errors: InputError that names the crop that cannot be decoded; ingest would have set it aside.
    """
    try:
        return decode_batch(store.fetch(indices), height, width, pool, keep_ratio, rotate_tall)
    except UndecodableCrop as error:
        raise InputError(
            f"{store.name_of(int(indices[error.place]))} cannot be decoded ({error}): it was changed after it was "
            "written; `kedro run --pipelines=ingest` makes the shard anew (views: `--pipelines=views`)"
        ) from error


def to_input(images: Images) -> Images:
    """Crops as the encoder takes them, floats in [-1, 1] (mean = std = 0.5).

    Args:
        images: a torch tensor or a NumPy array of any shape: uint8, or floats in [0, 1].

    Example:
        >>> to_input(np.array([0, 255], np.uint8))
        array([-1.,  1.], dtype=float32)
    """
    given: Any = images
    if not str(given.dtype).endswith("uint8"):
        return given * 2 - 1
    floats: Any = given.astype(np.float32) if isinstance(given, np.ndarray) else given.float()
    return floats / 127.5 - 1


def write_uncompressed(pixels: np.ndarray, width: int, height: int) -> bytes:
    """Plain pixels as bytes: nothing to decode, for several times the disk. A PPM file, whose comment keeps the size.

    Args:
        pixels: (h, w, 3) uint8 RGB.
        width, height: size of the crop that they were made of, pixels.
    """
    rows, columns, _ = pixels.shape
    return b"P6\n#of %dx%d\n%d %d\n255\n" % (width, height, columns, rows) + pixels.tobytes()


def _read_uncompressed(data: bytes) -> tuple[np.ndarray, float] | None:
    """Bytes of `write_uncompressed` -> (h, w, 3) pixels and the crop's width / height; None for other bytes."""
    header = _UNCOMPRESSED.match(data)
    if header is None:
        return None
    width, height, columns, rows = map(int, header.groups())
    if len(data) - header.end() != rows * columns * 3:
        return None
    return np.frombuffer(data, np.uint8, offset=header.end()).reshape(rows, columns, 3), width / height
