"""Leaks: crops to train on that are crops of a benchmark, byte for byte or nearly."""

import numpy as np
import pandas as pd

from lmim_kedro.crops.checks.hashes import crop_hashes, crop_names
from lmim_kedro.crops.checks.near_hashes import near_pairs
from lmim_kedro.crops.checks.same_picture import correlations
from lmim_kedro.crops.pixels import decode
from lmim_kedro.crops.sheets import Entry, draw_sheet
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.params import IngestParams

LEAK_COLUMNS = (
    "source", "key", "store_index", "benchmark", "benchmark_key", "benchmark_index", "match", "distance", "correlation"
)  # fmt: skip
_KEY = 32
"""Characters of a key that a sheet shows; of a path, its end."""


def find_leaks(store: PackedStore, benchmarks: PackedStore, rule: IngestParams) -> pd.DataFrame:
    """Find the crops of `store` that are crops of a benchmark.

    A crop is an exact copy if its bytes are those of the benchmark's crop. It is a near copy if their perceptual hashes
    differ in at most `near_distance` bits, and their pixels correlate by `near_correlation` or more.

    Args:
        store: the whole store of crops to train on.
        benchmarks: the whole store of benchmarks.
        rule: near_distance, near_correlation.

    Returns:
        a row per pair, LEAK_COLUMNS: `match` is exact or near, `distance` in bits, `correlation` of pixels. The
        indices are those of the whole stores.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> from lmim_kedro import open_source, prepare
        >>> words = open_source("words", {"format": "rendered", "words": 2, "split": "heldout"})
        >>> store = prepare([words], IngestParams(workers=1), Path(mkdtemp()), need_labels=True)
        >>> find_leaks(store, store, IngestParams())[["store_index", "match"]].to_numpy().tolist()
        [[0, 'exact'], [1, 'exact']]
    """
    ours, theirs = crop_hashes(store), crop_hashes(benchmarks)
    left, right, distance = near_pairs(ours.perceptual, theirs.perceptual, rule.near_distance)
    exact = (ours.content[left] == theirs.content[right]).all(axis=1)
    correlation = np.ones(len(left), np.float32)
    correlation[~exact] = correlations(store, left[~exact], benchmarks, right[~exact])
    found = exact | (correlation >= rule.near_correlation)
    left, right, distance, exact, correlation = (each[found] for each in (left, right, distance, exact, correlation))
    trained, scored = crop_names(store, left), crop_names(benchmarks, right)
    leaks = {
        "source": trained["source"],
        "key": trained["key"],
        "store_index": left,
        "benchmark": scored["source"],
        "benchmark_key": scored["key"],
        "benchmark_index": right,
        "match": np.where(exact, "exact", "near"),
        "distance": distance,
        "correlation": correlation.round(3),
    }
    return pd.DataFrame(leaks, columns=list(LEAK_COLUMNS))


def in_words(leaks: pd.DataFrame, rule: IngestParams) -> str:
    """Say in one sentence how many crops leak, and what becomes of them."""
    exact = leaks.loc[leaks["match"] == "exact", "store_index"].nunique()
    near = leaks["store_index"].nunique() - exact
    if leaks.empty:
        return "no crop of a benchmark was found"
    what = "left out of training" if rule.leaks == "exclude" else "kept, as `ingest.leaks` says"
    return f"crops that are a benchmark's: {exact:,} exact copies and {near:,} near ones, {what}"


def choose_exclusions(
    leaks: pd.DataFrame, duplicates: pd.DataFrame, clusters: pd.DataFrame, rule: IngestParams
) -> pd.DataFrame:
    """Say which crops are left out, by `rule.leaks` and `rule.clusters`: store_index and reason.

    One crop of each cluster that is left out stays: the one that represents it.
    """
    found = []
    if rule.leaks == "exclude" and len(leaks):
        reason = "leak: " + leaks["match"] + " copy of " + leaks["benchmark"] + " " + leaks["benchmark_key"]
        found.append(pd.DataFrame({"store_index": leaks["store_index"], "reason": reason}))
    if rule.clusters == "exclude" and len(clusters):
        out = duplicates[duplicates["cluster"].isin(clusters["store_index"]) & (duplicates["copy"] != "first")]
        listed = clusters.set_index("store_index")
        like = "cluster: like " + listed["key"] + " of " + listed["source"]
        found.append(pd.DataFrame({"store_index": out["store_index"], "reason": out["cluster"].map(like)}))
    empty = pd.DataFrame({"store_index": pd.Series(dtype="int64"), "reason": pd.Series(dtype="str")})
    return pd.concat(found).drop_duplicates("store_index").sort_values("store_index") if found else empty


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
