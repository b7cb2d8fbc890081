"""Ingest: raw crops in, a packed store and its manifest out. Ranges of keys travel to the workers, never bytes.

The work is cut into shards by the sources and the parameters alone, so the store is the same, byte for byte, however
many workers made it and however often it was interrupted.
"""

import logging
import shutil
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq

from lmim_kedro.crops.ingest.shards import ShardTask
from lmim_kedro.crops.ingest.workers import run_shards
from lmim_kedro.crops.sources.source import Source
from lmim_kedro.crops.store.packed import ROWS_FILE, STORE_FILE, PackedStore, shard_folder, write_card
from lmim_kedro.crops.store.shard_writer import clear_parts, disk_is_full
from lmim_kedro.errors import InputError
from lmim_kedro.files import digest
from lmim_kedro.locks import writing
from lmim_kedro.params import IngestParams

log = logging.getLogger(__name__)


def prepare(sources: Sequence[Source], params: IngestParams, folder: Path, need_labels: bool) -> PackedStore:
    """Validate all crops and pack the good ones; shards that are there already, whole and still fit are kept.

    Every shard that is there is read once, to compare its files with their hashes.

    Two processes never pack the same store at once: the second waits for the first, and keeps what it made.

    Args:
        sources: sources that `open_source` opened.
        params: what becomes of the crops.
        folder: the packed store's folder; made if it does not exist.
        need_labels: refuse sources without labels.

    Returns:
        The store; `manifest_tables(store)` has a row for every crop.

    Raises:
        InputError: if a source is empty, if labels are needed and a source has none, if no crop at all can be used,
            if the disk is full.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lmim_kedro.crops.sources.open import open_source
        >>> words = open_source("words", {"format": "rendered", "words": 3, "split": "heldout"})
        >>> with TemporaryDirectory() as folder:
        ...     prepare([words], IngestParams(workers=1), Path(folder), need_labels=True).labels([2, 0])
        ['NING', 'zoarruy']
    """
    _check(sources, need_labels)
    with writing(folder, wait=True):  # what another process packs meanwhile is kept
        return _prepare([source.limited(params.max_bytes) for source in sources], params, folder)


def _prepare(sources: Sequence[Source], params: IngestParams, folder: Path) -> PackedStore:
    tasks = _cut(sources, params, folder)
    clear_parts(folder / "shards")
    waiting = [task for task in tasks if _must_be_made(task)]
    if waiting:
        (folder / STORE_FILE).unlink(missing_ok=True)
        run_shards(waiting, params, sum(map(len, tasks)))
    shards = [(task.folder, task.source.name, task.stored()) for task in tasks]
    if not any(crops for _, _, crops in shards):
        problem = _nothing_usable(sources, tasks)
        (folder / STORE_FILE).unlink(missing_ok=True)
        for task in tasks:
            shutil.rmtree(task.folder)  # so that files which are mended are read again
        raise InputError(problem)
    # Crops that could not be read count too: they may be there when a shard is made again.
    fingerprint = digest([[task.fingerprint, task.unread()] for task in tasks])
    try:
        return write_card(folder, fingerprint, all(source.labeled for source in sources), shards)
    except OSError as error:
        if not disk_is_full(error):
            raise
        raise InputError(
            f"the disk of {folder} became full when all shards were there: make room, then run the same command "
            "again; what is whole is kept"
        ) from error


def _must_be_made(task: ShardTask) -> bool:
    """Whether a shard is not there, was made of something else or is damaged, of which a warning says how."""
    try:
        if not task.fits():
            return True
        fault = task.damage()
    except InputError as error:
        fault = str(error)
    if fault is not None:
        log.warning("the shard %s is made anew: %s", task.folder, fault)
    return fault is not None


def _check(sources: Sequence[Source], need_labels: bool) -> None:
    if not sources:
        raise InputError("there is no source of crops: name at least one under `sources` in the catalog")
    if empty := [source.name for source in sources if not len(source)]:
        raise InputError(f"{', '.join(empty)}: no crop is listed; take the source out of the catalog or fill it")
    unlabeled = [f"{source.name} has none ({source.description})" for source in sources if not source.labeled]
    if need_labels and unlabeled:
        raise InputError(f"labels are needed here, but {'; '.join(unlabeled)}: name a labeled set instead")


def _cut(sources: Sequence[Source], params: IngestParams, folder: Path) -> list[ShardTask]:
    """Cut each source into shards of equal size, at most `shard_crops` crops each."""
    tasks: list[ShardTask] = []
    for source in sources:
        shards = -(-len(source) // params.shard_crops)
        for start, stop in pairwise(len(source) * number // shards for number in range(shards + 1)):
            tasks.append(ShardTask(source.only(start, stop), start, stop, params, shard_folder(folder, len(tasks))))
    return tasks


def _nothing_usable(sources: Sequence[Source], tasks: list[ShardTask]) -> str:
    first = pq.read_table(tasks[0].folder / ROWS_FILE, columns=["key", "reason"]).slice(0, 1).to_pylist()[0]
    return (
        f"none of the {sum(map(len, tasks)):,} crops of {', '.join(source.name for source in sources)} can be used; "
        f"the first, {first['key']}, was set aside: {first['reason']}. Check the paths and the files"
    )
