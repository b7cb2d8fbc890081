"""Crops that occur several times in one set: pairs of them, and clusters of many such as a watermark."""

import numpy as np
import pandas as pd

from lmim_kedro.crops.checks.hashes import crop_hashes, crop_names
from lmim_kedro.crops.checks.near_hashes import join, near_neighbors
from lmim_kedro.crops.checks.same_picture import correlations
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.params import IngestParams


def find_duplicates(store: PackedStore, rule: IngestParams) -> pd.DataFrame:
    """Find crops that occur several times in a set, exactly or nearly, and join them into clusters.

    Args:
        store: whole.
        rule: near_distance, near_correlation.

    Returns:
        a row for every crop that has a copy: `store_index`; `cluster`, the smallest store index in it; `source`; and
        `copy`: "first" for that one, "exact" for those with the bytes of an earlier one, else "near".

    Example:
        >>> from dataclasses import replace
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> from lmim_kedro import open_source, prepare
        >>> words = open_source("words", {"format": "rendered", "words": 1, "split": "heldout"})
        >>> twice = [words, replace(words, name="again")]
        >>> store = prepare(twice, IngestParams(workers=1), Path(mkdtemp()), need_labels=True)
        >>> find_duplicates(store, IngestParams())[["source", "copy"]].to_numpy().tolist()
        [['words', 'first'], ['again', 'exact']]
    """
    hashes = crop_hashes(store)
    order = np.lexsort((hashes.content[:, 1], hashes.content[:, 0]))
    repeats = (hashes.content[order[1:]] == hashes.content[order[:-1]]).all(axis=1)
    left, right, _ = near_neighbors(hashes.perceptual, rule.near_distance)
    other = (hashes.content[left] != hashes.content[right]).any(axis=1)
    left, right = left[other], right[other]
    same = correlations(store, left, store, right) >= rule.near_correlation
    ends = [order[:-1][repeats], left[same]], [order[1:][repeats], right[same]]
    root = join(len(store), np.concatenate(ends[0]), np.concatenate(ends[1]))
    sizes = np.bincount(root, minlength=len(store))
    index = np.flatnonzero(sizes[root] > 1)
    cluster = root[index]
    exact = np.zeros(len(store), bool)
    exact[order[1:][repeats]] = True
    kinds = np.select([index == cluster, exact[index]], ["first", "exact"], "near")
    names = np.array([source.name for source in store.sources])
    source = names[np.searchsorted([source.stop for source in store.sources], index, side="right")]
    return pd.DataFrame({"store_index": index, "cluster": cluster, "source": source, "copy": kinds})


def list_clusters(duplicates: pd.DataFrame, store: PackedStore, rule: IngestParams) -> pd.DataFrame:
    """List the clusters of at least `cluster_crops` crops, such as a watermark, the largest first.

    Args:
        duplicates: the table of find_duplicates.
        store: the store that it describes.
        rule: cluster_crops, clusters.

    Returns:
        `cluster`, from 1; `source`, `key` and `store_index` of the crop that represents it; `crops` and `exact`, its
        number of crops and of exact copies among them; `status`, "report" or "exclude".
    """
    exact = (duplicates["copy"] == "exact").groupby(duplicates["cluster"])
    sizes = pd.DataFrame({"crops": exact.size(), "exact": exact.sum()})
    sizes = sizes[sizes["crops"] >= rule.cluster_crops].sort_values("crops", ascending=False, kind="stable")
    index = sizes.index.to_numpy(np.int64)
    clusters = {
        "cluster": np.arange(1, len(sizes) + 1),
        **crop_names(store, index),
        "store_index": index,
        "crops": sizes["crops"].to_numpy(),
        "exact": sizes["exact"].to_numpy(),
        "status": rule.clusters,
    }
    return pd.DataFrame(clusters)
