"""Which crops of a packed store are left out of training, and why: a list beside the crops, which stay where they are.

<store>/excluded.parquet    store_index, reason; empty where nothing is left out; made for one version of the store
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from lmim_kedro.crops.store.packed import EXCLUDED_FILE, PackedStore
from lmim_kedro.files import whole

if TYPE_CHECKING:
    import pandas as pd

_SCHEMA = pa.schema([pa.field("store_index", pa.int64()), pa.field("reason", pa.string())])


def exclude(store: PackedStore, excluded: pd.DataFrame) -> PackedStore:
    """Leave crops out of a store: write the list into its folder, and return the store without them.

    Args:
        store: the store, whole.
        excluded: columns store_index and reason; the first reason of a crop counts.
    """
    rows = excluded.drop_duplicates("store_index").sort_values("store_index")
    table = pa.Table.from_pandas(rows[_SCHEMA.names], _SCHEMA, preserve_index=False)
    with whole(store.path / EXCLUDED_FILE) as part:
        pq.write_table(table.replace_schema_metadata({"store": store.whole_fingerprint}), part)
    return PackedStore(store.path)


def exclusion_reasons(store: PackedStore) -> tuple[list[int], list[str]]:
    """Return the store indices of all crops that are left out of `store`, sorted, and the reason of each."""
    if not len(store.excluded):
        return [], []
    table = pq.read_table(store.path / EXCLUDED_FILE)
    return table["store_index"].to_pylist(), table["reason"].to_pylist()
