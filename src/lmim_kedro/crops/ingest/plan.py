"""Ingest: raw crops in, a packed store and its manifest out. Ranges of keys travel to the workers, never bytes.

The work is cut into shards by the sources and the parameters alone, so the store is the same, byte for byte, however
many workers made it and however often it was interrupted.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from lmim_kedro.crops.ingest.shards import ShardTask
from lmim_kedro.crops.ingest.workers import run_shards
from lmim_kedro.crops.sources.source import Source
from lmim_kedro.crops.store.packed import ROWS_FILE, STORE_FILE, PackedStore, shard_folder, write_card
from lmim_kedro.crops.store.shard_writer import clear_parts, disk_is_full
from lmim_kedro.errors import InputError
from lmim_kedro.files import digest
from lmim_kedro.params import IngestParams


@dataclass(frozen=True)
class IngestPlan:
    """What an ingest will do, before it does it: nothing is read or written until `write`."""

    sources: Sequence[Source]
    params: IngestParams
    need_labels: bool

    def tasks(self, store: Path) -> list[ShardTask]:
        """Cut each source into shards of equal size, at most `shard_crops` crops each."""
        tasks: list[ShardTask] = []
        for source in self.sources:
            shards = -(-len(source) // self.params.shard_crops)
            cuts = [len(source) * number // shards for number in range(shards + 1)]
            for start, stop in zip(cuts, cuts[1:], strict=False):
                part = source.only(start, stop)
                tasks.append(ShardTask(part, start, stop, self.params, shard_folder(store, len(tasks))))
        return tasks

    def write(self, store: Path) -> PackedStore:
        """Make what is not there yet of the packed store, and return it.

        Raises:
            InputError: if a source is empty, if labels are needed and a source has none, if no crop at all can be used,
                if the disk is full.
        """
        self._check()
        tasks = self.tasks(store)
        clear_parts(store / "shards")
        waiting = [task for task in tasks if not task.is_done()]
        if waiting:
            (store / STORE_FILE).unlink(missing_ok=True)
            run_shards(waiting, self.params, sum(len(task) for task in tasks))
        shards = [(task.folder, task.source.name, task.stored()) for task in tasks]
        if not any(crops for _, _, crops in shards):
            problem = self._nothing_usable(tasks)
            (store / STORE_FILE).unlink(missing_ok=True)
            for task in tasks:
                shutil.rmtree(task.folder)  # so that files which are mended are read again
            raise InputError(problem)
        # Crops that could not be read count too: they may be there when a shard is made again.
        fingerprint = digest([[task.fingerprint, task.unread()] for task in tasks])
        try:
            return write_card(store, fingerprint, all(source.labeled for source in self.sources), shards)
        except OSError as error:
            if not disk_is_full(error):
                raise
            raise InputError(
                f"the disk of {store} became full when all shards were there: make room, then run the same command "
                "again; what is whole is kept"
            ) from error

    def _check(self) -> None:
        if not self.sources:
            raise InputError("there is no source of crops: name at least one under `sources` in the catalog")
        empty = [source.name for source in self.sources if not len(source)]
        if empty:
            raise InputError(f"{', '.join(empty)}: no crop is listed; take the source out of the catalog or fill it")
        unlabeled = [source for source in self.sources if not source.labeled]
        if self.need_labels and unlabeled:
            found = "; ".join(f"{source.name} has none ({source.description})" for source in unlabeled)
            raise InputError(f"labels are needed here, but {found}: name a labeled set instead")

    def _nothing_usable(self, tasks: list[ShardTask]) -> str:
        rows = pq.read_table(tasks[0].folder / ROWS_FILE, columns=["key", "reason"]).slice(0, 1).to_pylist()[0]
        names = ", ".join(source.name for source in self.sources)
        return (
            f"none of the {sum(len(task) for task in tasks):,} crops of {names} can be used; the first, {rows['key']}, "
            f"was set aside: {rows['reason']}. Check the paths and the files"
        )


def prepare(sources: Sequence[Source], params: IngestParams, folder: Path, need_labels: bool) -> PackedStore:
    """Validate all crops and pack the good ones; shards that are there already and still fit are kept.

    Args:
        sources: sources that `open_source` opened.
        params: what becomes of the crops.
        folder: the packed store's folder; made if it does not exist.
        need_labels: refuse sources without labels.

    Returns:
        The store; `manifest_tables(store)` has a row for every crop.

    Raises:
        InputError: as `IngestPlan.write`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lmim_kedro.crops.sources.open import open_source
        >>> words = open_source("words", {"format": "rendered", "words": 3, "split": "heldout"})
        >>> with TemporaryDirectory() as folder:
        ...     prepare([words], IngestParams(workers=1), Path(folder), need_labels=True).labels([2, 0])
        ['NING', 'zoarruy']
    """
    return IngestPlan(sources, params, need_labels).write(folder)
