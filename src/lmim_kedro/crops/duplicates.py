"""Crops that occur several times in one set: pairs of them, and clusters of many such as a watermark."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lmim_kedro.crops.compare import correlations
from lmim_kedro.crops.hashes import crop_hashes, crop_names
from lmim_kedro.crops.similar import join, near_neighbours
from lmim_kedro.crops.store import PackedStore
from lmim_kedro.params import IngestParams

CLUSTER_COLUMNS = ("cluster", "source", "key", "store_index", "crops", "exact", "status")

_WITHIN = 4
"""Bits by which hashes within a set may differ: there are more pairs, and a cluster is found by its nearest ones."""


def find_duplicates(store: PackedStore, rule: IngestParams) -> pd.DataFrame:
    """Find crops that occur several times in a set, exactly or nearly, and join them into clusters.

    Args:
        store: whole.
        rule: near_correlation.

    Returns:
        a row for every crop that has a copy: `store_index`; `cluster`, the smallest store index in it; `source`; and
        `copy`: "first" for that one, "exact" for those with the bytes of an earlier one, else "near".
    """
    hashes = crop_hashes(store)
    left, right, _ = near_neighbours(hashes.perceptual, min(_WITHIN, rule.near_distance))
    exact = (hashes.content[left] == hashes.content[right]).all(axis=1)
    same = exact.copy()
    same[~exact] = correlations(store, left[~exact], store, right[~exact]) >= rule.near_correlation
    root = join(len(store), left[same], right[same])
    sizes = np.bincount(root, minlength=len(store))
    index = np.flatnonzero(sizes[root] > 1)
    cluster = root[index]
    order = np.lexsort((index, hashes.content[index, 1], hashes.content[index, 0]))
    ranked = hashes.content[index[order]]
    repeated = np.zeros(len(index), bool)
    repeated[order[1:]] = (ranked[1:] == ranked[:-1]).all(axis=1)
    kinds = np.select([index == cluster, repeated], ["first", "exact"], "near")
    names = np.array([source.name for source in store.sources])
    source = names[np.searchsorted([source.stop for source in store.sources], index, side="right")]
    return pd.DataFrame({"store_index": index, "cluster": cluster, "source": source, "copy": kinds})


def list_clusters(duplicates: pd.DataFrame, store: PackedStore, rule: IngestParams) -> pd.DataFrame:
    """List the clusters of at least `cluster_crops` crops, such as a watermark, the largest first.

    Args:
        duplicates: of find_duplicates.
        store: the same one.
        rule: cluster_crops, clusters.

    Returns:
        CLUSTER_COLUMNS: source, key and store index of the crop that stands for the cluster; its crops, exact copies
        among them; `status`, "report" or "exclude".
    """
    exact = (duplicates["copy"] == "exact").groupby(duplicates["cluster"])
    sizes = pd.DataFrame({"crops": exact.size(), "exact": exact.sum()})
    sizes = sizes[sizes["crops"] >= rule.cluster_crops].sort_values("crops", ascending=False, kind="stable")
    index = sizes.index.to_numpy(np.int64)
    names = crop_names(store, index)
    clusters = {
        "cluster": np.arange(1, len(sizes) + 1),
        "source": names["source"],
        "key": names["key"],
        "store_index": index,
        "crops": sizes["crops"].to_numpy(),
        "exact": sizes["exact"].to_numpy(),
        "status": rule.clusters,
    }
    return pd.DataFrame(clusters, columns=list(CLUSTER_COLUMNS))
