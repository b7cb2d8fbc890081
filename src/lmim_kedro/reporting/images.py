"""Pictures as data URIs, so that a page needs no other file."""

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from lmim_kedro.crops.pixels import decode

_THUMBNAIL = (320, 64)
"""Twice the size at which a page shows a crop, at most: sharp on dense screens, small in the file."""


def data_uri(data: bytes, kind: str) -> str:
    """Encode the bytes of a picture as a data URI; kind: jpeg, png, svg+xml.

    Example:
        >>> data_uri(b"x", "png")
        'data:image/png;base64,eA=='
    """
    return f"data:image/{kind};base64,{b64encode(data).decode('ascii')}"


def picture(image: Image.Image | np.ndarray, kind: str = "jpeg") -> str:
    """A data URI of a picture, or of an array (H, W, 3) uint8; kind `png` is without loss, for drawings."""
    opened = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    opened.save(file, kind, **({"quality": 88, "subsampling": 0} if kind == "jpeg" else {}))
    return data_uri(file.getvalue(), kind)


def thumbnail(encoded: bytes) -> str:
    """A data URI of an encoded crop in any format: its aspect ratio is kept, and it is scaled down to _THUMBNAIL."""
    crop = Image.fromarray(decode(encoded))
    crop.thumbnail(_THUMBNAIL, Image.Resampling.LANCZOS, reducing_gap=None)
    return picture(crop)


def crop_picture(crop: np.ndarray, zoom: int = 3) -> Image.Image:
    """Enlarge a crop (3, H, W) uint8 `zoom` times, smoothed.

    Example:
        >>> crop_picture(np.zeros((3, 32, 128), np.uint8)).size
        (384, 96)
    """
    image = Image.fromarray(np.ascontiguousarray(crop.transpose(1, 2, 0)))
    return image.resize((image.width * zoom, image.height * zoom), Image.Resampling.BICUBIC)


def attention_picture(crop: np.ndarray, attention: np.ndarray, query: Sequence[int], zoom: int = 3) -> Image.Image:
    """Attention of one query patch over a crop, as color (dark: little, yellow: most), the query in a red box.

    Args:
        crop: (3, H, W) uint8.
        attention: (rows, columns), not negative, not all 0; scaled so that its largest value is full.
        query: (row, column) of the query patch.
        zoom: picture pixels per crop pixel.
    """
    image = crop_picture(crop, zoom)
    colors = Image.fromarray(matplotlib.colormaps["viridis"](attention / attention.max(), bytes=True)[..., :3])
    gray = image.convert("L").convert("RGB")
    blended = Image.blend(gray, colors.resize(image.size, Image.Resampling.BILINEAR), 0.6)
    rows, columns = attention.shape
    height, width = image.height / rows, image.width / columns
    row, column = int(query[0]), int(query[1])
    left, top, right, bottom = column * width, row * height, (column + 1) * width - 1, (row + 1) * height - 1
    draw = ImageDraw.Draw(blended)
    draw.rectangle([left - 1, top - 1, right + 1, bottom + 1], outline="white", width=4)
    draw.rectangle([left, top, right, bottom], outline=(214, 39, 40), width=2)
    return blended


def prediction_picture(reconstructions: Mapping[str, np.ndarray], number: int) -> Image.Image:
    """The prediction for one crop from evaluation.reconstruction: pixels, or the cosine of its features."""
    if "predicted" in reconstructions:
        return crop_picture(reconstructions["predicted"][number])
    return similarity_picture(reconstructions["similarity"][number], reconstructions["crops"][number].shape[1:])


def similarity_picture(similarity: np.ndarray, size: tuple[int, int], zoom: int = 3) -> Image.Image:
    """Cosines (rows, columns) as color from dark (0 or less) to yellow (1), light gray where nothing was removed."""
    colors = matplotlib.colormaps["viridis"](np.clip(np.nan_to_num(similarity), 0, 1), bytes=True)[..., :3].copy()
    colors[np.isnan(similarity)] = (226, 230, 232)
    return Image.fromarray(colors).resize((size[1] * zoom, size[0] * zoom), Image.Resampling.NEAREST)
