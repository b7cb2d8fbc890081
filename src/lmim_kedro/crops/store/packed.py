"""The packed store: crops already validated, in shards that are each an LMDB in the field's layout.

    <store>/store.json                   what the shards hold, their sizes and hashes; written last: the store is whole
    <store>/shards/00000.lmdb/data.mdb   num-samples, image-%09d, label-%09d: any tool of the field reads it
    <store>/shards/00000.lmdb/rows.parquet, shard.json     the manifest's rows of the shard; what was asked
    <store>/excluded.parquet             store_index and reason of crops that are left out of training

Crops are numbered from 0 through all shards, sources in the order in which they were given. A crop that is left out
stays where it is, and has no number in the store that training sees: the ones after it move up.
"""

import hashlib
import shutil
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lmim_kedro.crops.store.cards import DATA_FILE, SHARD_FILE, ShardCard, StoreCard, file_card, read_card
from lmim_kedro.crops.store.environments import environment
from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json, whole, write_json

STORE_FILE = "store.json"
ROWS_FILE = "rows.parquet"
EXCLUDED_FILE = "excluded.parquet"
LAYOUT = 2
"""Version of the layout; a store of another version is made anew."""
_EXCLUDED = pa.schema([("store_index", pa.int64()), ("reason", pa.string())])


@dataclass(frozen=True)
class SourceRange:
    """The indices `start` to `stop` (exclusive) of the store hold the crops of one source."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Shard:
    """One LMDB of the store.

    `start` is the index of its first crop in the whole store; `bytes` the size of its data.mdb, None where an earlier
    version did not note it.
    """

    folder: Path
    source: str
    start: int
    crops: int
    bytes: int | None = None


class PackedStore:
    """Read access to a packed store, by index from 0. Picklable; opens its LMDBs on first use, once per process.

    Attributes:
        shards: all shards of the whole store.
        sources: ranges of the crops that are not left out.
        excluded: (E,) int64, sorted: crops left out, as indices of the whole store.
        fingerprint: changes with the crops, and with what is left out of them.
        whole_fingerprint: changes with the crops alone.

    Example:
        >>> from tempfile import mkdtemp
        >>> from lmim_kedro import open_source, prepare
        >>> from lmim_kedro.params import IngestParams
        >>> words = open_source("words", {"format": "rendered", "words": 3, "split": "heldout"})
        >>> made = prepare([words], IngestParams(workers=1), Path(mkdtemp()), need_labels=True)
        >>> PackedStore(made.path).labels([2, 0])
        ['NING', 'zoarruy']
    """

    def __init__(self, path: str | Path, whole: bool = False) -> None:
        """Read what the store holds.

        Args:
            path: its folder.
            whole: also show the crops that are left out of training.

        Raises:
            InputError: if there is no whole store at `path`, or its list of excluded crops is for another version.
        """
        self.path = Path(path)
        found = read_json(self.path / STORE_FILE)
        if not found:
            raise InputError(
                f"no packed store at {self.path} ({STORE_FILE} is missing): make it with "
                "`kedro run --pipelines=ingest`, with the --env of this run"
            )
        if found.get("layout") != LAYOUT:
            raise InputError(
                f"the packed store {self.path} has layout {found.get('layout')}, this version of the project reads "
                f"{LAYOUT}: make it anew with `kedro run --pipelines=ingest`"
            )
        card = read_card(self.path / STORE_FILE, StoreCard)
        assert card is not None
        self.labeled, self.whole_fingerprint = card.labeled, card.fingerprint
        self.shards: list[Shard] = []
        crops = 0
        for shard in card.shards:
            folder = self.path / "shards" / shard.name
            self.shards.append(Shard(folder, shard.source, crops, shard.crops, shard.bytes))
            crops += shard.crops
        self.excluded = np.empty(0, np.int64) if whole else self._read_excluded()
        self.fingerprint = self.whole_fingerprint
        if len(self.excluded):
            content = self.whole_fingerprint.encode() + self.excluded.tobytes()
            self.fingerprint = hashlib.blake2b(content, digest_size=16).hexdigest()
        self.sources: list[SourceRange] = []
        for name, group in groupby(self.shards, key=attrgetter("source")):
            shards = list(group)
            ends = np.array([shards[0].start, shards[-1].start + shards[-1].crops])
            start, stop = (ends - np.searchsorted(self.excluded, ends)).tolist()
            self.sources.append(SourceRange(name, start, stop))

    def _read_excluded(self) -> np.ndarray:
        file = self.path / EXCLUDED_FILE
        if not file.is_file():
            return np.empty(0, np.int64)
        try:
            table = pq.read_table(file, columns=["store_index"])
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{file} cannot be read ({error}): check the crops anew with `kedro run --pipelines=ingest`"
            ) from error
        if (table.schema.metadata or {}).get(b"store", b"").decode() != self.whole_fingerprint:
            raise InputError(
                f"{file} lists crops to leave out of another version of the packed store: check the crops anew with "
                "`kedro run --pipelines=ingest`, with the --env of this run"
            )
        return table["store_index"].to_numpy().astype(np.int64)

    def __len__(self) -> int:
        return self.shards[-1].start + self.shards[-1].crops - len(self.excluded) if self.shards else 0

    def __repr__(self) -> str:
        labels = "with" if self.labeled else "without"
        out = f", {len(self.excluded):,} left out" if len(self.excluded) else ""
        return f"PackedStore({len(self):,} crops {labels} labels in {len(self.shards)} shards{out}, {self.path})"

    def whole_indices(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Turn `indices` into those of the whole store, `store_index` of the manifest. Errors: IndexError."""
        asked = np.asarray(indices, np.int64)
        outside = asked[(asked < 0) | (asked >= len(self))]
        if len(outside):
            raise IndexError(f"crop {outside[0]} is not in 0 ... {len(self) - 1} of {self!r}")
        before = self.excluded - np.arange(len(self.excluded))
        return asked + np.searchsorted(before, asked, side="right")

    def fetch(self, indices: Sequence[int] | np.ndarray) -> list[bytes]:
        """Return the encoded images at `indices`, in that order; an index may occur several times.

        Errors: IndexError if one is not in 0 ... len - 1; InputError if a shard was removed or damaged.
        """
        return self._values("image", indices)

    def labels(self, indices: Sequence[int] | np.ndarray) -> list[str]:
        """Return the labels at `indices`, in that order. Errors: InputError if there are none; and as `fetch`."""
        if not self.labeled:
            names = ", ".join(source.name for source in self.sources)
            raise InputError(f"the packed store {self.path} ({names}) has no labels: use a store of labeled sources")
        found = self._values("label", indices)
        try:
            return [label.decode("utf-8") for label in found]
        except UnicodeDecodeError:
            bad = next(place for place, label in enumerate(found) if "\ufffd" in label.decode("utf-8", "replace"))
            raise InputError(
                f"the label of {self.name_of(int(indices[bad]))} is not UTF-8: the shard was changed after ingest; "
                "`kedro run --pipelines=ingest` makes it anew"
            ) from None

    def _values(self, kind: str, indices: Sequence[int] | np.ndarray) -> list[bytes]:
        """Look up one key per index, with one transaction per shard."""
        starts = [shard.start for shard in self.shards]
        by_shard: dict[int, list[tuple[int, int]]] = {}
        for place, index in enumerate(self.whole_indices(indices).tolist()):
            number = bisect_right(starts, index) - 1
            by_shard.setdefault(number, []).append((index - starts[number], place))
        values: list[bytes] = [b""] * len(indices)
        for number, wanted in by_shard.items():
            shard = self.shards[number]
            with environment(shard.folder, shard.bytes).begin() as txn:
                for local, place in wanted:
                    try:
                        value = txn.get(f"{kind}-{local + 1:09d}".encode())
                    except lmdb.Error as error:
                        raise self._damaged(shard, kind, local, str(error)) from error
                    if value is None:
                        raise self._damaged(shard, kind, local, "it is not there")
                    values[place] = value
        return values

    def _damaged(self, shard: Shard, kind: str, local: int, why: str) -> InputError:
        return InputError(
            f"the {kind} of crop {shard.start + local} of {shard.source} ({kind}-{local + 1:09d} of the shard "
            f"{shard.folder}) cannot be read ({why}): the shard was changed after ingest; "
            "`kedro run --pipelines=ingest` makes it anew"
        )

    def name_of(self, index: int) -> str:
        """Say which crop the one at `index` is, for a sentence about it: its source, its shard and its key there."""
        whole = int(self.whole_indices([index])[0])
        number = bisect_right([shard.start for shard in self.shards], whole) - 1
        shard = self.shards[number]
        return f"crop {index} ({shard.source}, image-{whole - shard.start + 1:09d} of {shard.folder})"


def exclude(store: PackedStore, excluded: pd.DataFrame) -> PackedStore:
    """Leave crops out of a store: write the list into its folder, and return the store without them.

    Args:
        store: the store, whole.
        excluded: columns store_index and reason; the first reason of a crop counts.
    """
    rows = excluded.drop_duplicates("store_index").sort_values("store_index")
    table = pa.Table.from_pandas(rows[_EXCLUDED.names], _EXCLUDED, preserve_index=False)
    with whole(store.path / EXCLUDED_FILE) as part:
        pq.write_table(table.replace_schema_metadata({"store": store.whole_fingerprint}), part)
    return PackedStore(store.path)


def exclusion_reasons(store: PackedStore) -> tuple[list[int], list[str]]:
    """Return the store indices of all crops that are left out of `store`, sorted, and the reason of each."""
    if not len(store.excluded):
        return [], []
    table = pq.read_table(store.path / EXCLUDED_FILE)
    return table["store_index"].to_pylist(), table["reason"].to_pylist()


def shard_folder(store: Path, number: int) -> Path:
    """Return where the shard of this number lies."""
    return store / "shards" / f"{number:05d}.lmdb"


def write_card(store: Path, fingerprint: str, labeled: bool, shards: Iterable[tuple[Path, str, int]]) -> PackedStore:
    """Write store.json, given (folder, source, crops) of each shard, and remove what an earlier store left."""
    shards = list(shards)
    kept = {folder for folder, _, _ in shards}
    (store / STORE_FILE).unlink(missing_ok=True)
    # Also the halves of workers that were killed; what a file manager leaves there is not ours.
    for folder in (store / "shards").glob("*.lmdb*"):
        if folder not in kept:
            shutil.rmtree(folder)
    card = {
        "layout": LAYOUT,
        "fingerprint": fingerprint,
        "labeled": labeled,
        "crops": sum(crops for _, _, crops in shards),
        "shards": [
            {"name": folder.name, "source": source, "crops": crops} | _data_card(folder)
            for folder, source, crops in shards
        ],
    }
    write_json(store / STORE_FILE, card)
    return PackedStore(store, whole=True)


def _data_card(shard: Path) -> dict[str, Any]:
    """Size and hash of a shard's LMDB, by its card or, where it has none, by reading it."""
    card = read_card(shard / SHARD_FILE, ShardCard)
    known = card.files.get(DATA_FILE) if card is not None else None
    return (known or file_card(shard / DATA_FILE)).model_dump()
