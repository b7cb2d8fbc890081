"""A contact sheet of leaks: each crop beside the benchmark's, for an eye to judge the rule."""

from __future__ import annotations

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from lmim_kedro.crops.pixels import decode
from lmim_kedro.crops.store.packed import PackedStore

_COLUMNS = 2
_CROP = (180, 44)
"""Most pixels of a picture, width and height."""
_CAPTION = 300
_KEY = 32
"""Characters of a key that are shown: of a path its end."""
_GAP = 6


def draw_leaks(leaks: pd.DataFrame, store: PackedStore, benchmarks: PackedStore, pairs: int = 48) -> np.ndarray:
    """Draw leaks, evenly spaced from those that correlate least.

    Args:
        leaks: of find_leaks.
        store, benchmarks: the whole stores that it is of.
        pairs: drawn at most.

    Returns:
        (H, W, 3) uint8 RGB; a sentence where there is no leak.
    """
    ranked = leaks.sort_values(["correlation", "store_index"], kind="stable")
    shown = ranked.iloc[np.arange(min(pairs, len(leaks))) * len(leaks) // max(1, min(pairs, len(leaks)))]
    rows = max(1, -(-len(shown) // _COLUMNS))
    width, height = 2 * (_CROP[0] + _GAP) + _CAPTION, _CROP[1] + _GAP
    sheet = Image.new("RGB", (_COLUMNS * width, rows * height + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    if shown.empty:
        draw.text((_GAP, _GAP), "No crop of a benchmark was found in these sources.", fill="black", font=font)
    images = zip(store.fetch(shown["store_index"]), benchmarks.fetch(shown["benchmark_index"]), strict=True)
    for place, (leak, both) in enumerate(zip(shown.itertuples(), images, strict=True)):
        left, top = place % _COLUMNS * width + _GAP, place // _COLUMNS * height + _GAP
        for side, data in enumerate(both):
            sheet.paste(_fit(decode(data)), (left + side * (_CROP[0] + _GAP), top))
        how = "exact copy" if leak.match == "exact" else f"{leak.distance} bits, correlation {leak.correlation:.3f}"
        lines = f"{leak.source} {leak.key[-_KEY:]}", f"{leak.benchmark} {leak.benchmark_key[-_KEY:]}", how
        draw.text((left + 2 * (_CROP[0] + _GAP), top), "\n".join(lines), fill="black", font=font)
    return np.asarray(sheet)


def _fit(image: np.ndarray) -> Image.Image:
    scale = min(_CROP[0] / image.shape[1], _CROP[1] / image.shape[0])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
