"""LMDB in the layout that the whole field writes: num-samples, image-%09d from 1, label-%09d in UTF-8.

A user's LMDB is mapped by a process of its own, which a damaged one may end: LMDB trusts what stands in the file.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lmim_kedro.crops.sources.image_files import too_long
from lmim_kedro.crops.sources.lmdb_child import MOST_LABEL
from lmim_kedro.crops.sources.lmdb_process import ask
from lmim_kedro.crops.sources.source import Layout, RawCrop
from lmim_kedro.errors import InputError
from lmim_kedro.params import MAX_BYTES

_MAGIC = (0xBEEFC0DE).to_bytes(4, "little")
_META_PAGES = 8192
"""Bytes at the start of data.mdb that change with every commit: they hold the number of the last transaction."""


_MOST_MISSING = 10
"""Crops for each key that there is, from which num-samples is taken for wrong."""


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
    max_bytes: int = MAX_BYTES

    def __len__(self) -> int:
        return self.crops

    def read(self, start: int, stop: int) -> Iterator[RawCrop]:
        """Yield crops `start` to `stop`."""
        request = {"start": start, "stop": stop, "base": self.base, "digits": self.digits, "labeled": self.labeled}
        position = start
        for batch in ask(self.folder, request | {"most": self.max_bytes}):
            for data, size, label in batch:
                yield self._crop(f"image-{position + self.base:0{self.digits}d}", data, size, label)
                position += 1

    def _crop(self, key: str, data: bytes | None, size: int, label: bytes | None) -> RawCrop:
        if size < 0:
            return RawCrop(key, None, None, "missing image: the LMDB has no such key")
        text, fault = _text(label) if self.labeled else (None, None)
        return RawCrop(key, data, text, too_long(size, self.max_bytes) if data is None else fault)


def _text(label: bytes | None) -> tuple[str | None, str | None]:
    if label is None:
        return None, "no label"
    if len(label) > MOST_LABEL:
        return None, f"bad label: more than {MOST_LABEL:,} bytes"
    try:
        return label.decode("utf-8"), None
    except UnicodeDecodeError:
        return None, "label not UTF-8"


def open_lmdb(folder: Path) -> LmdbReader:
    """Open the LMDB in `folder` and probe what it holds.

    Raises:
        InputError: if it cannot be opened, or its keys are not the field's.
    """
    (probe,) = ask(folder, {"probe": True})
    samples, first, entries = probe["count"], probe["image"], probe["entries"]
    if samples is None or first is None:
        raise InputError(
            f"the LMDB {folder} has no key {'num-samples' if samples is None else 'image-000000001'}; its "
            f"{entries:,} keys are like {', '.join(map(repr, probe['keys'])) or 'none'}. Expected "
            "num-samples, image-%09d and, with labels, label-%09d: write it again with those keys"
        )
    number = re.fullmatch(rb"image-(\d{1,20})", first)
    if not number or not re.fullmatch(rb"\d{1,20}", samples):
        raise InputError(
            f"the LMDB {folder} has num-samples = {samples[:20]!r} and the image key {first[:30]!r}: "
            "a decimal number and image-000000001 were expected"
        )
    count, base, digits = int(samples), 0 if int(number[1]) == 0 else 1, len(number[1])
    if count > _MOST_MISSING * entries:
        raise InputError(
            f"the LMDB {folder} has num-samples = {count:,} and {entries:,} keys: nearly all crops would be missing; "
            "copy or download it again, or write it again with the right num-samples"
        )
    (after,) = ask(folder, {"has": f"image-{count + base:0{digits}d}"})
    labeled = probe["labeled"]
    with (folder / "data.mdb").open("rb") as file:
        pages = hashlib.blake2b(file.read(_META_PAGES), digest_size=16).hexdigest()
        size = file.seek(0, 2)
    beyond = "; it holds more images than its num-samples says, which are not read" if after else ""
    found = f"LMDB of {count:,} crops {'with' if labeled else 'without'} labels in {folder}{beyond}"
    return LmdbReader(folder, count, labeled, digits, base, f"lmdb {size} {pages}", found)


def _looks_like(path: Path) -> bool:
    if path.is_dir():
        return (path / "data.mdb").is_file()
    with path.open("rb") as start:
        if start.read(20)[16:] == _MAGIC:
            raise InputError(f"{path} is an LMDB in a file of its own: move it into a folder, as data.mdb")
    return False


LAYOUT = Layout("lmdb", lambda path, images: open_lmdb(path), _looks_like, sign="data.mdb with num-samples")
