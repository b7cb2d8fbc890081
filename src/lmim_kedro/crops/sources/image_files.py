"""Crops that are image files: listed with their labels in a file, or all those below a folder."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from lmim_kedro.crops.sources.source import RawCrop
from lmim_kedro.errors import InputError

IMAGE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif")
)
_SCHEMA = pa.schema([("file", pa.string()), ("label", pa.string()), ("fault", pa.string())])
_CHUNK = 50_000
MISSING, UNREADABLE = "missing file", "unreadable file"
"""Reasons that may no longer hold when the source is read again."""
_IMAGE_FOLDERS = ("", "full_images", "imgs", "images")
"""Where public data sets keep the files of a list, relative to the list's folder or to one of the three above it."""


class Entry(NamedTuple):
    """One line of a list: the image file as the list writes it, its label, and what is wrong with either."""

    file: str
    label: str | None = None
    fault: str | None = None


@dataclass
class ListedReader:
    """Image files below `root`. The list is an Arrow table: a tenth of the memory of Python strings."""

    format: str
    description: str
    labeled: bool
    root: Path
    entries: pa.Table = field(repr=False)
    total: int
    identity: str
    first: int = 0

    def __len__(self) -> int:
        return self.total

    def only(self, start: int, stop: int) -> "ListedReader":
        """Return a reader that carries the entries `start` to `stop` alone."""
        rows = self.entries.slice(start - self.first, stop - start).to_pylist()
        return replace(self, entries=pa.Table.from_pylist(rows, _SCHEMA), first=start)

    def read(self, start: int, stop: int) -> Iterator[RawCrop]:
        """Yield crops `start` to `stop`; a file that cannot be read keeps its place, with the reason."""
        for batch in self.entries.slice(start - self.first, stop - start).to_batches(max_chunksize=1000):
            for file, label, fault in (Entry(**row) for row in batch.to_pylist()):
                if fault and fault.startswith("bad line"):
                    yield RawCrop(file, None, None, fault)
                else:
                    data, reason = read_file(self.root / file)
                    yield RawCrop(file, data, label, reason or fault)

    def readable(self, keys: Sequence[str]) -> bool:
        """Whether any of these files, which could not be read, can be by now."""
        return any(_is_readable(self.root / key) for key in keys)


def open_listed(
    path: Path, images: Path | None, *, name: str, kind: str, read: Callable[[Path], Iterator[Entry]]
) -> ListedReader:
    """Read a list and find its image files; if `path` is a folder, the list is the names of the files below it.

    Args:
        path: the list, or the folder.
        images: folder that the listed paths start from; None: looked for around the list.
        name: name of the layout.
        kind: the layout in words, for the description.
        read: reads the entries of `path`.

    Raises:
        InputError: if the list has no entry of this layout, or none of its files can be found.
    """
    entries = read(path)
    chunks = [_SCHEMA.empty_table()]
    while chunk := list(islice(entries, _CHUNK)):
        columns = [pa.array(column, pa.string()) for column in zip(*chunk, strict=True)]
        chunks.append(pa.Table.from_arrays(columns, schema=_SCHEMA))
    table = pa.concat_tables(chunks)
    if table.num_rows == 0:
        raise InputError(f"{path} holds no crop: image files or a list of them were expected; check the path")
    labeled = path.is_file()
    if labeled:
        root = _images_of(path, table, images)
        with path.open("rb") as file:
            content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        identity = f"{content} {os.path.relpath(root, path.parent)}"
        description = f"{kind} of {table.num_rows:,} crops with labels: {path}, files below {root}"
    else:
        root, identity = path, f"{table.num_rows} {_digest_of_names(table)}"
        description = f"{kind} of {table.num_rows:,} image files without labels: {path}"
    return ListedReader(name, description, labeled, root, table, table.num_rows, f"{name} {identity}")


def _images_of(path: Path, table: pa.Table, images: Path | None) -> Path:
    """Return the folder below which most of a few listed files lie."""
    files = [table["file"][row].as_py() for row in range(0, table.num_rows, max(1, table.num_rows // 50))]
    if images is not None:
        candidates = [path.parent / images]
    else:
        candidates = [folder / name for folder in path.parents[:4] for name in _IMAGE_FOLDERS]
    hits = [sum(os.path.isfile(candidate / file) for file in files) for candidate in candidates]
    if not any(hits):
        raise InputError(
            f"none of {len(files)} files that {path} lists, such as {files[0]}, lies below "
            f"{', '.join(str(candidate) for candidate in candidates if os.path.isdir(candidate)) or candidates[0]}: "
            "give the folder that the listed paths start from as `images`, relative to the list"
        )
    return candidates[hits.index(max(hits))]


def _digest_of_names(table: pa.Table) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for batch in table.select(["file"]).to_batches(max_chunksize=_CHUNK):
        digest.update("\n".join(batch.column(0).to_pylist()).encode())
    return digest.hexdigest()


def read_file(path: Path) -> tuple[bytes | None, str | None]:
    """The bytes of a file, or None and why there are none."""
    try:
        return path.read_bytes(), None
    except FileNotFoundError:
        return None, MISSING
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        return None, f"{UNREADABLE}: {getattr(error, 'strerror', error)}"


def _is_readable(file: Path) -> bool:
    try:
        return os.path.isfile(file) and os.access(file, os.R_OK)
    except ValueError:
        return False
