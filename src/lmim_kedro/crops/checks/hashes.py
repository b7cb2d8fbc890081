"""The hashes of a packed store's crops, as numbers to search in, and the names of its crops."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from lmim_kedro.crops.perceptual import hashes_as_numbers
from lmim_kedro.crops.store.manifest import manifest_tables
from lmim_kedro.crops.store.packed import PackedStore


class CropHashes(NamedTuple):
    """The hashes of all crops of a whole store, by store index.

    Attributes:
        content: (N, 2) uint64, the bytes as they came.
        perceptual: (N,) uint64, how they look.
    """

    content: np.ndarray
    perceptual: np.ndarray


def crop_hashes(store: PackedStore) -> CropHashes:
    """Read the hashes of a whole store from its manifest."""
    content, perceptual = [np.empty((0, 2), np.uint64)], [np.empty(0, np.uint64)]
    for table in manifest_tables(store, ["hash", "perceptual_hash", "store_index"]):
        stored = table.filter(pc.is_valid(table["store_index"]))
        content.append(hashes_as_numbers(stored["hash"].to_pylist()).reshape(-1, 2))
        perceptual.append(hashes_as_numbers(stored["perceptual_hash"].to_pylist()))
    return CropHashes(np.concatenate(content), np.concatenate(perceptual))


def crop_names(store: PackedStore, indices: np.ndarray) -> pd.DataFrame:
    """Return `source` and `key` of the crops at `indices` of a whole store, in that order, repeats too."""
    found = [pd.DataFrame({"source": [], "key": []}, index=pd.Index([], dtype="int64"))]
    wanted = np.unique(indices)
    for shard, table in zip(store.shards, manifest_tables(store, ["source", "key", "store_index"]), strict=True):
        its = wanted[np.searchsorted(wanted, shard.start) : np.searchsorted(wanted, shard.start + shard.crops)]
        if len(its):
            stored = table.filter(pc.is_valid(table["store_index"])).take(its - shard.start)
            names = {name: stored[name].to_pylist() for name in ("source", "key")}
            found.append(pd.DataFrame(names, index=its))
    return pd.concat(found).loc[indices].reset_index(drop=True)
