"""LMDB in the layout that the whole field writes: num-samples, image-%09d from 1, label-%09d in UTF-8."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lmdb

from lmim_kedro.crops.sources.source import Layout, RawCrop
from lmim_kedro.crops.store.environments import environment
from lmim_kedro.errors import InputError

_MAGIC = (0xBEEFC0DE).to_bytes(4, "little")
_META_PAGES = 8192
"""Bytes at the start of data.mdb that change with every commit: they hold the number of the last transaction."""


@dataclass
class LmdbReader:
    """Crops of one LMDB. `digits` and `base` follow its first image key: image-%09d from 1 unless it says otherwise."""

    folder: Path
    crops: int
    labeled: bool
    digits: int
    base: int
    identity: str
    description: str
    format: str = "lmdb"

    def __len__(self) -> int:
        return self.crops

    def read(self, start: int, stop: int) -> Iterator[RawCrop]:
        """Yield crops `start` to `stop`; the read transaction lasts as long as the iteration."""
        try:
            with environment(self.folder).begin() as txn:
                for position in range(start, stop):
                    number = f"{position + self.base:0{self.digits}d}"
                    key, data = f"image-{number}", txn.get(f"image-{number}".encode())
                    if data is None:
                        yield RawCrop(key, None, None, "missing image: the LMDB has no such key")
                    elif not self.labeled:
                        yield RawCrop(key, data)
                    else:
                        yield _labeled(key, data, txn.get(f"label-{number}".encode()))
        except lmdb.Error as error:
            raise InputError(f"the LMDB {self.folder} is damaged ({error}): copy or download it again") from error


def _labeled(key: str, data: bytes, label: bytes | None) -> RawCrop:
    if label is None:
        return RawCrop(key, data, None, "no label")
    try:
        return RawCrop(key, data, label.decode("utf-8"))
    except UnicodeDecodeError:
        return RawCrop(key, data, None, "label not UTF-8")


def open_lmdb(folder: Path) -> LmdbReader:
    """Open the LMDB in `folder` and probe what it holds.

    Raises:
        InputError: if it cannot be opened, or its keys are not the field's.
    """
    with environment(folder).begin() as txn:
        count, first = txn.get(b"num-samples"), _first_key(txn, b"image-")
        if count is None or first is None:
            keys = [bytes(key)[:30] for key, _ in zip(txn.cursor().iternext(values=False), range(3), strict=False)]
            raise InputError(
                f"the LMDB {folder} has no key {'num-samples' if count is None else 'image-000000001'}; its "
                f"{txn.stat()['entries']:,} keys are like {', '.join(map(repr, keys)) or 'none'}. Expected "
                "num-samples, image-%09d and, with labels, label-%09d: write it again with those keys"
            )
        number = re.fullmatch(rb"image-(\d+)", first)
        if not number or not count.isdigit():
            raise InputError(
                f"the LMDB {folder} has num-samples = {count[:20]!r} and the image key {first[:30]!r}: "
                "a decimal number and image-000000001 were expected"
            )
        labeled = _first_key(txn, b"label-") is not None
        base, digits = 0 if int(number[1]) == 0 else 1, len(number[1])
        more = txn.get(f"image-{int(count) + base:0{digits}d}".encode()) is not None
    with (folder / "data.mdb").open("rb") as file:
        pages = hashlib.blake2b(file.read(_META_PAGES), digest_size=16).hexdigest()
        size = file.seek(0, 2)
    beyond = "; it holds more images than its num-samples says, which are not read" if more else ""
    found = f"LMDB of {int(count):,} crops {'with' if labeled else 'without'} labels in {folder}{beyond}"
    return LmdbReader(folder, int(count), labeled, digits, base, f"lmdb {size} {pages}", found)


def _first_key(txn: lmdb.Transaction, prefix: bytes) -> bytes | None:
    cursor = txn.cursor()
    key = bytes(cursor.key()) if cursor.set_range(prefix) else b""
    return key if key.startswith(prefix) else None


def _looks_like(path: Path) -> bool:
    if path.is_dir():
        return (path / "data.mdb").is_file()
    with path.open("rb") as start:
        if start.read(20)[16:] == _MAGIC:
            raise InputError(f"{path} is an LMDB in a file of its own: move it into a folder, as data.mdb")
    return False


LAYOUT = Layout("lmdb", lambda path, images: open_lmdb(path), _looks_like, sign="data.mdb with num-samples")
