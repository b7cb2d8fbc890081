"""A contact sheet of a packed store: what an eye needs to believe that the crops are the right ones."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from lmim_kedro.crops.pixels import decode

if TYPE_CHECKING:
    from lmim_kedro.crops.store.packed import PackedStore

_COLUMNS = 6
_CELL = (168, 76)
_CROP = (160, 48)
_LETTERS = 26


def draw_crops(store: PackedStore, crops: int) -> bytes:
    """Return a PNG of at most `crops` crops, evenly spaced over the store, in their own aspect ratio, labels below."""
    shown = min(crops, len(store))
    indices = [number * len(store) // shown for number in range(shown)]
    labels = store.labels(indices) if store.labeled else [""] * shown
    rows = -(-shown // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _CELL[0], rows * _CELL[1]), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, (data, label) in enumerate(zip(store.fetch(indices), labels, strict=True)):
        left, top = place % _COLUMNS * _CELL[0] + 4, place // _COLUMNS * _CELL[1] + 4
        crop = Image.fromarray(decode(data))
        scale = min(_CROP[0] / crop.width, _CROP[1] / crop.height)
        size = max(1, round(crop.width * scale)), max(1, round(crop.height * scale))
        sheet.paste(crop.resize(size, Image.Resampling.BILINEAR), (left, top + _CROP[1] - size[1]))
        draw.text((left, top + _CROP[1] + 4), label[:_LETTERS], fill="black", font=font)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()
