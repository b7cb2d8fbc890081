"""Writes one shard: into a folder beside its place, in batches, with a map that grows; moved into place when whole."""

import contextlib
import errno
import os
import shutil
import uuid
from pathlib import Path

import lmdb

from lmim_kedro import files
from lmim_kedro.errors import InputError

_FIRST_MAP = 16 * 2**20
_BATCH = 1000
_BATCH_BYTES = 64 * 2**20


class ShardWriter:
    """A context in which crops are added to the LMDB of one shard.

    On success `folder` is replaced by the complete shard; on an error nothing is left behind. `part` is the folder that
    is being filled: files put there become part of the shard.

    Args:
        folder: the shard.
        first_map: bytes of the LMDB's map, which is doubled whenever it is full.

    Example:
        >>> from tempfile import mkdtemp
        >>> with ShardWriter(Path(mkdtemp()) / "shard") as writer:
        ...     writer.add(b"an image", "word")
        0
    """

    def __init__(self, folder: Path, first_map: int = _FIRST_MAP) -> None:
        self.folder = folder
        # A name of its own: a worker that was taken for lost may still be writing the same shard.
        self.part = _part_of(folder)
        self.crops, self._bytes, self._first_map = 0, 0, first_map
        self._batch: list[tuple[bytes, bytes]] = []

    def __enter__(self) -> "ShardWriter":
        try:
            self.part.mkdir(parents=True)
            self._environment = lmdb.open(str(self.part), map_size=self._first_map, lock=False, sync=False)
        except BaseException as error:
            self._clean_up(error)
            raise
        return self

    def add(self, image: bytes, label: str | None) -> int:
        """Add a crop and return its index in the shard, from 0."""
        self.crops += 1
        self._batch.append((b"image-%09d" % self.crops, image))
        self._bytes += len(image)
        if label is not None:
            self._batch.append((b"label-%09d" % self.crops, label.encode("utf-8")))
        if len(self._batch) >= _BATCH or self._bytes >= _BATCH_BYTES:
            self._commit()
        return self.crops - 1

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._finish()
        except BaseException as failure:
            error = failure
            raise
        finally:
            self._environment.close()
            if error is not None:
                self._clean_up(error)

    def _clean_up(self, error: BaseException) -> None:
        """Remove the half shard; raise a sentence instead of `error` if the disk was full."""
        full = disk_is_full(error)
        if isinstance(error, lmdb.Error) and self.part.is_dir():  # LMDB calls a commit cut short an input/output error
            full |= shutil.disk_usage(self.part).free < 2 * sum(len(value) for _, value in self._batch)
        shutil.rmtree(self.part, ignore_errors=True)
        if full:
            raise InputError(
                f"the disk of {self.folder.parent} became full after {self.crops:,} crops of {self.folder.name}: make "
                "room or choose another disk, then run the same command again; what is whole is kept"
            ) from error

    def _finish(self) -> None:
        self._batch.append((b"num-samples", str(self.crops).encode()))
        self._commit()
        self._environment.sync(True)
        self._environment.close()
        for file in self.part.iterdir():
            with file.open("rb+") as written:
                os.fsync(written.fileno())
        self._move_into_place()

    def _move_into_place(self) -> None:
        """Put the whole shard at its place; what was there goes aside first, so that no half of it is ever there."""
        old = _part_of(self.folder)
        while True:
            with contextlib.suppress(FileNotFoundError):
                os.replace(self.folder, old)
            try:
                os.replace(self.part, self.folder)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    with contextlib.suppress(FileNotFoundError):
                        os.replace(old, self.folder)
                    raise
            # Another worker has put the same shard there meanwhile: once more.
            shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)

    def _commit(self) -> None:
        """Write the batch in one transaction; a full map is doubled and the batch written again."""
        while self._batch:
            try:
                with self._environment.begin(write=True) as txn:
                    for key, value in self._batch:
                        txn.put(key, value)
                self._batch.clear()
                self._bytes = 0
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])


def disk_is_full(error: BaseException) -> bool:
    """Tell whether an error says that there is no room, or none left of the user's quota."""
    return isinstance(error, lmdb.DiskError) or files.disk_is_full(error)


def clear_parts(folder: Path, name: str = "*") -> None:
    """Remove the half shards that a killed run left below `folder`; `name` is that of one shard, "*" all of them."""
    for part in folder.glob(f"{name}.{'[0-9a-f]' * 8}.part"):
        shutil.rmtree(part, ignore_errors=True)


def _part_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.part")
