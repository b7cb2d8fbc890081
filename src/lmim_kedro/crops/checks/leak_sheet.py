"""A contact sheet of leaks: each crop beside the benchmark's, for an eye to judge the rule."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lmim_kedro.crops.pixels import decode
from lmim_kedro.crops.sheets import Entry, draw_sheet
from lmim_kedro.crops.store.packed import PackedStore

_KEY = 32
"""Characters of a key that are shown; of a path, its end."""


def draw_leaks(leaks: pd.DataFrame, store: PackedStore, benchmarks: PackedStore, pairs: int = 48) -> np.ndarray:
    """Draw leaks, evenly spaced from those that correlate least.

    Args:
        leaks: the table of find_leaks.
        store, benchmarks: the whole stores that it compares.
        pairs: most pairs to draw.

    Returns:
        (H, W, 3) uint8 RGB; a sentence where there is no leak.
    """
    ranked = leaks.sort_values(["correlation", "store_index"], kind="stable")
    shown = ranked.iloc[np.arange(min(pairs, len(leaks))) * len(leaks) // max(1, min(pairs, len(leaks)))]
    images = zip(store.fetch(shown["store_index"]), benchmarks.fetch(shown["benchmark_index"]), strict=True)
    entries: list[Entry] = []
    for leak, both in zip(shown.itertuples(), images, strict=True):
        how = "exact copy" if leak.match == "exact" else f"{leak.distance} bits, correlation {leak.correlation:.3f}"
        lines = f"{leak.source} {leak.key[-_KEY:]}", f"{leak.benchmark} {leak.benchmark_key[-_KEY:]}", how
        entries.append(([decode(data) for data in both], "\n".join(lines)))
    if not entries:
        entries = [([], "No crop of a benchmark was found in these sources.")]
    return draw_sheet(entries, columns=2, size=(180, 44), caption=300)
