"""The manifest: a row for every crop that a source lists, stored or set aside, and their summary."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lmim_kedro.crops.store.packed import ROWS_FILE, PackedStore, Shard, exclusion_reasons
from lmim_kedro.errors import InputError
from lmim_kedro.files import whole

NAMES = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        pa.field("source", NAMES, metadata={"what": "name in the catalog"}),
        pa.field("key", pa.string(), metadata={"what": "LMDB key, or path of the file below the images' folder"}),
        pa.field("width", pa.int32(), metadata={"what": "pixels, of the crop as it came"}),
        pa.field("height", pa.int32(), metadata={"what": "pixels, of the crop as it came"}),
        pa.field("bytes", pa.int32(), metadata={"what": "size of the crop as it came"}),
        pa.field("format", NAMES, metadata={"what": "JPEG, PNG, WEBP ..."}),
        pa.field("mode", NAMES, metadata={"what": "RGB, L, P, CMYK ... as Pillow names them"}),
        pa.field("label", pa.string()),
        pa.field("label_length", pa.int32(), metadata={"what": "characters (code points)"}),
        pa.field("hash", pa.string(), metadata={"what": "BLAKE2b, 128 bits, of the bytes as they came"}),
        pa.field("perceptual_hash", pa.string(), metadata={"what": "64 bits of how it looks; null if set aside"}),
        pa.field("turned", pa.bool_(), metadata={"what": "stored turned by 90 degrees counter-clockwise"}),
        pa.field("status", NAMES, metadata={"what": "ok, set aside, or excluded: stored, and left out of training"}),
        pa.field("reason", pa.string(), metadata={"what": "why it is not ok: a phrase, after a colon its detail"}),
        pa.field("store_index", pa.int64(), metadata={"what": "index in the packed store; null if set aside"}),
    ]
)
_COUNTS = ("crops", "ok", "set_aside", "excluded", "reasons", "labeled")
SUMMARY_COLUMNS = (*_COUNTS, "median_width", "median_height", "bytes")


def manifest_tables(store: PackedStore, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield the manifest of a packed store, one table of at most 100,000 rows or so for each shard.

    Args:
        store: crops that are left out of it have the status excluded, and a reason.
        columns: names of SCHEMA; None: all.

    Example:
        >>> from tempfile import mkdtemp
        >>> from lmim_kedro import open_source, prepare
        >>> from lmim_kedro.params import IngestParams
        >>> words = open_source("words", {"format": "rendered", "words": 2, "split": "heldout"})
        >>> store = prepare([words], IngestParams(workers=1), Path(mkdtemp()), need_labels=True)
        >>> [table.to_pylist() for table in manifest_tables(store, ["label", "status"])]
        [[{'label': 'zoarruy', 'status': 'ok'}, {'label': 'ROUL', 'status': 'ok'}]]
    """
    excluded, reasons = exclusion_reasons(store)
    for shard in store.shards:
        table = _rows(shard, columns)
        if "store_index" in table.column_names:
            place = table.column_names.index("store_index")
            table = table.set_column(place, SCHEMA.field("store_index"), pc.add(table["store_index"], shard.start))
        first, last = bisect_left(excluded, shard.start), bisect_left(excluded, shard.start + shard.crops)
        if first < last:
            table = _mark(table, shard, [index - shard.start for index in excluded[first:last]], reasons[first:last])
        yield table


def _rows(shard: Shard, columns: list[str] | None) -> pa.Table:
    try:
        return pq.read_table(shard.folder / ROWS_FILE, columns=columns, schema=SCHEMA)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{shard.folder / ROWS_FILE} cannot be read ({error}): the shard was changed after ingest; `kedro run "
            "--pipelines=ingest` makes it anew"
        ) from error


def _mark(table: pa.Table, shard: Shard, excluded: list[int], reasons: list[str]) -> pa.Table:
    """Give the crops at `excluded` of a shard, in order, the status excluded and their reasons."""
    stored = _rows(shard, ["store_index"])["store_index"]
    out = pc.is_in(stored, value_set=pa.array(excluded, pa.int64())).combine_chunks()
    for name, values in (("status", ["excluded"] * len(excluded)), ("reason", reasons)):
        if name in table.column_names:
            plain = table[name].cast(pa.string()).combine_chunks()
            column = pc.replace_with_mask(plain, out, pa.array(values, pa.string()))
            field = SCHEMA.field(name)
            coded = column.dictionary_encode() if field.type == NAMES else column
            table = table.set_column(table.column_names.index(name), field, coded)
    return table


def write_manifest(tables: Iterable[pa.Table], path: Path) -> None:
    """Write tables of SCHEMA into one Parquet file, a row group each; the file appears when it is whole."""
    with whole(path) as part, pq.ParquetWriter(part, SCHEMA, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)


def summarize(manifest: pd.DataFrame | Iterable[pa.Table]) -> pd.DataFrame:
    """Return one row per source, and one for all if there are several.

    Args:
        manifest: the manifest as a frame, or its tables one by one, which takes little memory however long it is.

    Returns:
        `source` and SUMMARY_COLUMNS: crops listed; those ok, set aside and excluded, with `reasons` such as
        "2 truncated, 1 leak"; those ok with a label; medians, in pixels, and the sum of bytes of those ok.
    """
    tables = [pa.Table.from_pandas(manifest, preserve_index=False)] if isinstance(manifest, pd.DataFrame) else manifest
    kinds = _narrow(SCHEMA.empty_table())
    for table in tables:
        kinds = _count(pa.concat_tables([kinds, _narrow(table)]))
    crops = kinds.to_pandas()
    rows = [_card(str(name), rows) for name, rows in crops.groupby("source", sort=False, observed=True)]
    if len(rows) > 1:
        rows.append(_card("all", crops))
    return pd.DataFrame(rows, columns=["source", *SUMMARY_COLUMNS])


def _narrow(table: pa.Table) -> pa.Table:
    """Keep what a summary tells crops apart by."""
    status = table["status"].cast(pa.string())
    columns = {
        "source": table["source"].cast(pa.string()),
        "ok": pc.equal(status, "ok"),
        "excluded": pc.equal(status, "excluded"),
        "reason": pc.replace_substring_regex(table["reason"].cast(pa.string()), ":.*", ""),
        "labeled": pc.is_valid(table["label_length"]),
        **{name: table[name].cast(pa.int32()) for name in ("width", "height")},
        "bytes": table["bytes"].cast(pa.int64()),
        "crops": pa.repeat(pa.scalar(1, pa.int64()), table.num_rows),
    }
    return pa.table(columns)


def _count(rows: pa.Table) -> pa.Table:
    """Count crops that are alike, so that a summary takes the memory of the sizes that occur, not of the crops."""
    alike = [name for name in rows.column_names if name not in ("bytes", "crops")]
    counted = rows.group_by(alike, use_threads=False).aggregate([("bytes", "sum"), ("crops", "sum")])
    return counted.rename_columns([name.removesuffix("_sum") for name in counted.column_names])


def _card(name: str, crops: pd.DataFrame) -> dict[str, object]:
    ok, excluded = crops[crops["ok"]], crops[crops["excluded"]]
    reasons = crops.groupby("reason", sort=False)["crops"].sum().sort_values(ascending=False, kind="stable")
    return {
        "source": name,
        "crops": int(crops["crops"].sum()),
        "ok": int(ok["crops"].sum()),
        "set_aside": int(crops["crops"].sum() - ok["crops"].sum() - excluded["crops"].sum()),
        "excluded": int(excluded["crops"].sum()),
        "reasons": ", ".join(f"{count} {reason}" for reason, count in reasons.items()),
        "labeled": int(ok.loc[ok["labeled"], "crops"].sum()),
        **{f"median_{side}": _median(ok[side], ok["crops"]) for side in ("width", "height")},
        "bytes": int(ok["bytes"].sum()),
    }


def _median(values: pd.Series, counts: pd.Series) -> float:
    """Return the median of values that each occur `counts` times; nan of none."""
    total = counts.groupby(values).sum().cumsum()
    if total.empty:
        return float("nan")
    last = int(total.iloc[-1])
    lower, upper = (total.index[total.searchsorted(rank, side="right")] for rank in ((last - 1) // 2, last // 2))
    return (float(lower) + float(upper)) / 2
