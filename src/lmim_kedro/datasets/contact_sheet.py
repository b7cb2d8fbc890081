"""A contact sheet of a packed store: what an eye needs to believe that the crops are the right ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from lmim_kedro.crops.pixels import decode
from lmim_kedro.crops.sheets import draw_sheet

if TYPE_CHECKING:
    from lmim_kedro.crops.store.packed import PackedStore

_LETTERS = 20


def draw_crops(store: PackedStore, crops: int) -> bytes:
    """Return a PNG of at most `crops` crops, evenly spaced over the store, in their own aspect ratio, with labels."""
    indices = np.arange(min(crops, len(store))) * len(store) // max(1, min(crops, len(store)))
    labels = store.labels(indices) if store.labeled else [""] * len(indices)
    pictures = zip(store.fetch(indices), labels, strict=True)
    entries = [([decode(data)], label[:_LETTERS]) for data, label in pictures]
    sheet = draw_sheet(entries, columns=4, size=(160, 48), caption=130 if store.labeled else 0)
    return cv2.imencode(".png", sheet[..., ::-1])[1].tobytes()
