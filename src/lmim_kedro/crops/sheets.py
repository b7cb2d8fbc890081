"""The contact sheet: pictures side by side, a caption beside them, for an eye to judge."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lmim_kedro.crops.pixels import resize

_GAP = 6

Entry = tuple[Sequence[np.ndarray], str]
"""Pictures (h, w, 3) uint8 RGB, and their caption."""


def draw_sheet(
    entries: Sequence[Entry], *, columns: int = 1, size: tuple[int, int] = (192, 48), caption: int = 0
) -> np.ndarray:
    """Draw entries row by row: their pictures side by side, in their own aspect ratio, and a caption on the right.

    Args:
        entries: pictures and captions, the same number of pictures for each.
        columns: entries beside each other.
        size: most pixels of a picture, width and height.
        caption: pixels for the caption, across.

    Returns:
        (H, W, 3) uint8 RGB.

    Example:
        >>> draw_sheet([([np.zeros((32, 128, 3), np.uint8)] * 2, "")]).shape
        (60, 402, 3)
    """
    pictures = max((len(pictures) for pictures, _ in entries), default=1)
    width, height = pictures * (size[0] + _GAP) + caption, size[1] + _GAP
    rows = max(1, -(-len(entries) // columns))
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for place, (shown, text) in enumerate(entries):
        left, top = place % columns * width + _GAP, place // columns * height + _GAP
        for picture in shown:
            sheet.paste(Image.fromarray(_fit(picture, size, picture.shape[1] / picture.shape[0])), (left, top))
            left += size[0] + _GAP
        pen.text((left, top), text, fill="black", font=font)
    return np.asarray(sheet)


def contact_sheet(crops: np.ndarray, views: np.ndarray, aspect: np.ndarray | None = None) -> np.ndarray:
    """Draw each crop beside its views, a row per crop.

    Args:
        crops: (N, 3, H, W) uint8.
        views: (N, V, 3, H, W) floats in [0, 1].
        aspect: (N,) width / height of each crop before it was squeezed: all pictures of its row get it back. None:
            they are drawn as the encoder sees them.

    Returns:
        (H', W', 3) uint8.
    """
    ratios = np.full(len(crops), crops.shape[3] / crops.shape[2]) if aspect is None else aspect
    entries: list[Entry] = []
    for crop, its_views, ratio in zip(crops, views, ratios, strict=True):
        pictures = [crop, *np.rint(its_views * 255).clip(0, 255).astype(np.uint8)]
        entries.append(([_fit(picture.transpose(1, 2, 0), (192, 48), float(ratio)) for picture in pictures], ""))
    return draw_sheet(entries)


def _fit(picture: np.ndarray, size: tuple[int, int], ratio: float) -> np.ndarray:
    """A picture (h, w, 3) of this width / height, as large as fits, in the middle of a white one of this size."""
    width, height = min(size[0], max(1, round(size[1] * ratio))), min(size[1], max(1, round(size[0] / ratio)))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    drawn = resize(np.ascontiguousarray(picture), height, width)
    edges = top, size[1] - height - top, left, size[0] - width - left
    return cv2.copyMakeBorder(drawn, *edges, cv2.BORDER_CONSTANT, value=(255, 255, 255))
