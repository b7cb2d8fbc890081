"""Whether a crop is readable, and what it is: found by decoding it once, at ingest, and not by a worker at step 80,000.

OpenCV decodes, as in training. Pillow reads the header before anything is decoded, and tries what OpenCV refuses, to
name the fault.
"""

import hashlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
from PIL import Image

from lmim_kedro.crops.perceptual import perceptual_hash
from lmim_kedro.crops.pixels import resize, rgb_of, write_uncompressed

Pixels = np.ndarray
"""uint8, height x width x 3, BGR as OpenCV has it."""

DECODING = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""Three channels of 8 bits from whatever it was; camera orientation tags ignored, as the whole field does."""

Image.init()
_KNOWN_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "MPO", "PPM", "JPEG2000", "AVIF")
_FORMATS = [name for name in _KNOWN_FORMATS if name in Image.OPEN]
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B", "I;16L")
_LOSSLESS = ("PNG", "BMP", "GIF", "TIFF", "PPM")


@dataclass(frozen=True, slots=True)
class CropFacts:
    """What is known about one crop.

    `status` is "ok" or "set aside". `reason` starts with one of a few fixed phrases, a detail may follow after a colon.
    Width and height are pixels, `format` and `mode` Pillow's names; all are None where the header cannot be read.
    `perceptual_hash` is None where the crop is not ok.
    """

    status: Literal["ok", "set aside"]
    reason: str | None
    width: int | None
    height: int | None
    bytes: int
    format: str | None
    mode: str | None
    hash: str
    perceptual_hash: str | None = None


class Decoded(NamedTuple):
    """A crop's facts; its pixels if it is ok; and whether OpenCV gets those pixels from its bytes as they are."""

    facts: CropFacts
    pixels: Pixels | None = None
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


def decode_checked(data: bytes, max_pixels: int) -> Decoded:
    """Decode a crop, as `inspect_crop` does, and keep the pixels; transparent parts show white."""
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    if not data:
        return Decoded(CropFacts("set aside", "empty: 0 bytes", None, None, 0, None, None, digest))
    try:
        header = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Exception as error:  # Pillow's readers raise whatever a broken header leads them to
        return Decoded(CropFacts("set aside", _fault(error, data), None, None, len(data), None, None, digest))
    pixels, plain, reason = None, False, None
    try:
        reason = _refused_by_header(header, max_pixels)  # reads on: later parts of the file say whether it is animated
        if reason is None:
            pixels, plain = _decode(data, header)
            reason = _refused_by_size(pixels, header)
    except Exception as error:  # as above
        reason = _fault(error, data)
    size_and_kind = header.width, header.height, len(data), header.format, header.mode
    if reason is not None or pixels is None:
        return Decoded(CropFacts("set aside", reason, *size_and_kind, digest))
    return Decoded(CropFacts("ok", None, *size_and_kind, digest, perceptual_hash(pixels)), pixels, plain)


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
        return _encode(kept, ".png" if _is_lossless(data, facts) else ".jpg")
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
    if header.mode not in _MODES:
        return f"unsupported mode: {header.mode}"
    return None


def _refused_by_size(pixels: Pixels, header: Image.Image) -> str | None:
    height, width, _ = pixels.shape
    if (width, height) != header.size:
        return f"undecodable: header says {header.width} x {header.height} pixels, the image has {width} x {height}"
    return None


def _decode(data: bytes, header: Image.Image) -> tuple[Pixels, bool]:
    """Return the pixels, and whether they are what OpenCV makes of the bytes."""
    pixels = _opencv(data)
    transparent = header.mode in ("RGBA", "LA", "PA") or "transparency" in header.info
    if pixels is None or (transparent and np.asarray(header.convert("RGBA").getchannel("A")).min() < 255):
        return np.ascontiguousarray(rgb_of(header)[:, :, ::-1]), False
    return pixels, True


def _opencv(data: bytes) -> Pixels | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), DECODING)
    except cv2.error:
        return None


def _fault(error: Exception, data: bytes) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "too large: by its header"
    text = str(error).split("<_io")[0].strip()
    riff_bytes = int.from_bytes(data[4:8], "little") + 8 if data[:4] == b"RIFF" else 0
    if isinstance(error, EOFError) or "truncated" in text.lower() or riff_bytes > len(data):
        return "truncated"
    return "undecodable" if "cannot identify" in text else f"undecodable: {text or type(error).__name__}"


def _is_lossless(data: bytes, facts: CropFacts) -> bool:
    return facts.format in _LOSSLESS or (facts.format == "WEBP" and data[12:16] == b"VP8L")


def _encode(pixels: Pixels, suffix: str) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(suffix, pixels, options if suffix == ".jpg" else [])[1].tobytes()
