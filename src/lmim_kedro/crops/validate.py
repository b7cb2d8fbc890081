"""Whether a crop is readable, and what it is: found by decoding it once, at ingest, and not by a worker at step 80,000.

OpenCV decodes, as in training. Pillow reads the header before anything is decoded, and tries what OpenCV refuses, to
name the fault. JPEGs are decoded by libjpeg-turbo itself, which gives the same pixels as OpenCV and tells of damage.
"""

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from lmim_kedro.crops.containers import container_fault
from lmim_kedro.crops.perceptual import perceptual_hash
from lmim_kedro.crops.pixels import (
    bands_of,
    has_alpha,
    orientation,
    resize,
    rgb_of,
    turned_back,
    upright,
    write_uncompressed,
)

DECODING = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""Three channels of 8 bits from whatever it was. Camera orientation tags are ignored, as the whole field does with its
data sets: packed stores and the numbers on benchmarks rest on it. `decode_checked(..., as_shown=True)` heeds them."""

Image.init()
_KNOWN_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "MPO", "PPM", "JPEG2000", "AVIF")
_FORMATS = [name for name in _KNOWN_FORMATS if name in Image.OPEN]
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B", "I;16L")
_LOSSLESS = ("PNG", "BMP", "DIB", "GIF", "TIFF", "PPM")
_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
HEIC = "HEIC, which is not read here: convert it to JPEG, for example with `heif-convert photo.heic photo.jpg`"


@dataclass(frozen=True, slots=True)
class CropFacts:
    """What is known about one crop.

    `reason` says why it is set aside; None: it is ok. It starts with one of a few fixed phrases; a detail may follow
    after a colon. Width and height are pixels, `format` and `mode` Pillow's names; all are None where the header cannot
    be read. `perceptual_hash` is None where the crop is not ok.
    """

    reason: str | None
    bytes: int
    hash: str
    width: int | None = None
    height: int | None = None
    format: str | None = None
    mode: str | None = None
    perceptual_hash: str | None = None

    @property
    def status(self) -> Literal["ok", "set aside"]:
        """As the manifest has it."""
        return "ok" if self.reason is None else "set aside"


class _Damaged(ValueError):
    """The decoder made pixels and says that they are not those of the whole image; the message is the reason."""


class Decoded(NamedTuple):
    """A crop's facts; its (h, w, 3) uint8 BGR pixels if it is ok; whether OpenCV alone gets those from its bytes."""

    facts: CropFacts
    pixels: np.ndarray | None = None
    plain: bool = False


def inspect_crop(data: bytes, max_pixels: int) -> CropFacts:
    """Decode a crop and tell what it is.

    Args:
        data: the encoded image.
        max_pixels: an image with more pixels is set aside by its header, not decoded.

    Example:
        >>> inspect_crop(b"no image", max_pixels=1000).reason
        'undecodable'
    """
    return decode_checked(data, max_pixels).facts


def decode_checked(data: bytes, max_pixels: int, as_shown: bool = False) -> Decoded:
    """Decode a crop, as `inspect_crop` does, and keep the pixels; transparent parts show white.

    Args:
        data: the encoded image.
        max_pixels: an image with more pixels is set aside by its header, not decoded.
        as_shown: turn a photo upright, as its orientation tag says; False: the pixels as they are stored.
    """
    facts = CropFacts(None, len(data), hashlib.blake2b(data, digest_size=16).hexdigest())
    if not data:
        return Decoded(replace(facts, reason="empty: 0 bytes"))
    fault = container_fault(data, max_pixels)
    try:
        header = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Exception as error:  # Pillow's readers raise whatever a broken header leads them to
        return Decoded(replace(facts, reason=_fault(error, data)))
    width, height = header.size
    try:
        tag = orientation(header) if as_shown or header.format == "TIFF" else 1
        reason = fault or _refused_by_header(header, max_pixels)  # reads on to find out whether it is animated
        if reason is None:
            pixels, plain = _decode(data, header)
            width, height = pixels.shape[1], pixels.shape[0]
            if (width, height) != header.size:
                found = f"header says {header.width} x {header.height} pixels, the image has {width} x {height}"
                reason = f"undecodable: {found}"
            pixels, plain = _turned(pixels, plain, tag, header, as_shown)
            width, height = pixels.shape[1], pixels.shape[0]
    except _Damaged as error:
        reason = str(error)
    except Exception as error:  # as above
        reason = _fault(error, data)
    facts = replace(facts, width=width, height=height, format=header.format, mode=header.mode)
    if reason is not None:
        return Decoded(replace(facts, reason=reason))
    return Decoded(replace(facts, perceptual_hash=perceptual_hash(pixels)), pixels, plain)


def is_tall(facts: CropFacts, rotate_tall: float | None) -> bool:
    """Tell whether a crop's height / width is above the ratio from which crops are turned; None: none is."""
    return rotate_tall is not None and bool(facts.width) and (facts.height or 0) > rotate_tall * (facts.width or 0)


def stored_bytes(
    data: bytes,
    decoded: Decoded,
    store_height: int | None,
    turn: bool = False,
    store_size: tuple[int, int] | None = None,
) -> bytes:
    """Return what the packed store keeps of an ok crop: its own bytes wherever they will do.

    A crop is encoded anew if it is to `turn` by 90 degrees counter-clockwise or is taller than `store_height` pixels
    (as JPEG of quality 95 without chroma subsampling, or as PNG if it came without loss), and if OpenCV alone would
    show it differently: a partly transparent crop, or one that only Pillow can decode (as PNG). With a `store_size`,
    (height, width), every crop is kept uncompressed, resized as the loader would.

    Example:
        >>> plain = cv2.imencode(".png", np.zeros((32, 100, 3), np.uint8))[1].tobytes()
        >>> stored_bytes(plain, decode_checked(plain, max_pixels=10_000), store_height=None) == plain
        True
    """
    facts, pixels, plain = decoded
    if pixels is None:
        raise ValueError(f"a crop that was set aside ({facts.reason}) is not stored")
    kept = cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE) if turn else pixels
    if store_size is not None:
        small = np.ascontiguousarray(resize(kept, *store_size)[:, :, ::-1])
        return write_uncompressed(small, kept.shape[1], kept.shape[0])
    if store_height is not None and kept.shape[0] > store_height:
        width = max(1, round(kept.shape[1] * store_height / kept.shape[0]))
        kept = cv2.resize(kept, (width, store_height), interpolation=cv2.INTER_AREA)
    if kept is not pixels:
        lossless = facts.format in _LOSSLESS or (facts.format == "WEBP" and data[12:16] == b"VP8L")
        return _encode(kept, ".png" if lossless else ".jpg")
    return data if plain else _encode(pixels, ".png")


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Keep OpenCV's and Pillow's remarks on broken images out of the log: the manifest has them all."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _refused_by_header(header: Image.Image, max_pixels: int) -> str | None:
    width, height = header.size
    if width < 1 or height < 1:
        return f"zero size: {width} x {height} pixels"
    if width * height > max_pixels:
        return f"too large: {width} x {height} pixels, max_pixels = {max_pixels}"
    if header.format != "MPO" and getattr(header, "is_animated", False):
        return f"animated: {getattr(header, 'n_frames', 'several')} frames"
    if header.mode not in _MODES and not (header.format == "PPM" and header.mode == "I"):
        return f"unsupported mode: {header.mode}"
    return None


def _decode(data: bytes, header: Image.Image) -> tuple[np.ndarray, bool]:
    """Return the pixels, (h, w, 3) BGR, and whether they are what OpenCV makes of the bytes."""
    if header.format in ("JPEG", "MPO") and header.mode in ("L", "RGB"):
        return _decode_jpeg(data), True
    # Pillow first, and in bands: to hold what both decoders make of a large image would take a gigabyte.
    if header.format != "PPM" and has_alpha(header) and _shows_through(header):
        return _bgr_of(header), False
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), DECODING)
    except cv2.error:
        pixels = None
    if header.format == "PPM":  # OpenCV does not scale the gray levels of a file whose maximum is another than 255
        shown = _bgr_of(header)
        return shown, pixels is not None and np.array_equal(shown, pixels)
    return (_bgr_of(header), False) if pixels is None else (pixels, True)


def _shows_through(image: Image.Image) -> bool:
    return any(np.asarray(band.convert("RGBA").getchannel("A")).min() < 255 for _, band in bands_of(image))


def _bgr_of(image: Image.Image) -> np.ndarray:
    pixels = rgb_of(image)
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR, dst=pixels)


def _decode_jpeg(data: bytes) -> np.ndarray:
    """The pixels that OpenCV would give. Errors: _Damaged where libjpeg-turbo warns of damage."""
    try:
        return simplejpeg.decode_jpeg(data, "BGR", strict=True)
    except ValueError as error:
        text = str(error).removeprefix("Corrupt JPEG data: ")
        cut = "end of JPEG file" in text or "end of input file" in text
        raise _Damaged("truncated" if cut else f"damaged: {text}") from error


def _turned(pixels: np.ndarray, plain: bool, tag: int, header: Image.Image, as_shown: bool) -> tuple[np.ndarray, bool]:
    """Turn the pixels as `as_shown` asks. OpenCV and Pillow turn a TIFF alone upright on their own."""
    if tag == 1 or (header.format == "TIFF") == as_shown:
        return pixels, plain
    return (upright(pixels, tag) if as_shown else turned_back(pixels, tag)), False


def _fault(error: Exception, data: bytes) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "too large: by its header"
    text = str(error).split("<_io")[0].strip()
    riff_bytes = int.from_bytes(data[4:8], "little") + 8 if data[:4] == b"RIFF" else 0
    if isinstance(error, EOFError) or "truncated" in text.lower() or riff_bytes > len(data):
        return "truncated"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
        return f"undecodable: {HEIC}"
    return "undecodable" if "cannot identify" in text else f"undecodable: {text or type(error).__name__}"


def _encode(pixels: np.ndarray, suffix: str) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(suffix, pixels, options if suffix == ".jpg" else [])[1].tobytes()
