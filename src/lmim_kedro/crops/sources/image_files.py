"""Crops that are image files: listed with their labels in a file, or all those below a folder."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from lmim_kedro.crops.sources.archives import Place
from lmim_kedro.crops.sources.source import RawCrop
from lmim_kedro.errors import InputError
from lmim_kedro.files import open_regular
from lmim_kedro.params import MAX_BYTES
from lmim_kedro.text.marks import on_one_line, strip_marks

T = TypeVar("T")

_DECODED = (
    ".jpg .jpeg .jpe .jfif .jif .pjpeg .pjp .mpo .png .apng .webp .bmp .dib .gif .tif .tiff .ppm .pgm .pbm .pnm "
    ".jp2 .j2k .jpf .jpx .j2c .avif"
)
_CONVERTED = ".heic .heif .hif"  # what phones write, and what no decoder here reads: an error that says what to do
IMAGE_SUFFIXES = frozenset(f"{_DECODED} {_CONVERTED}".split())
_SCHEMA = pa.schema(
    [("file", pa.string()), ("label", pa.string()), ("fault", pa.string()), ("confidence", pa.float64())]
)
_CHUNK = 50_000
_NAMED = 3
"""Files that are named of those that are passed over for one reason."""
_BETWEEN_LOOKS = 500
"""Items after which a Budget looks at the clock."""
MISSING, UNREADABLE = "missing file", "unreadable file"
"""Reasons that may no longer hold when the source is read again."""
OUTSIDE = "outside the source"
_TRUSTED = "allow_outside: true in the source (--allow-outside for a command) reads what lies elsewhere"
_IMAGE_FOLDERS = ("", "full_images", "imgs", "images")
"""Where public data sets keep the files of a list, relative to the list's folder or to one of the three above it."""


NO_IMAGE = ("bad line", "missing image")
"""Faults of entries that have no image to read."""


class Entry(NamedTuple):
    """One line of a list: the image file as the list writes it, its label, and what is wrong with either.

    `confidence`, 0 to 1, is how sure a reader was of a label that it made.
    """

    file: str
    label: str | None = None
    fault: str | None = None
    confidence: float | None = None


class Passed(NamedTuple):
    """A file that is no crop and no list of crops that is read, and why: in words that can follow "2 files"."""

    file: str
    why: str


class PassedOver:
    """What was passed over: for each reason how often, and the first files; `named` has all that are named.

    Example:
        >>> passed = PassedOver([Passed("a.pdf", ".pdf, no images"), Passed("b.pdf", ".pdf, no images")])
        >>> str(passed)
        'passed over: 2 .pdf, no images (a.pdf, b.pdf)'
    """

    def __init__(self, passed: Iterable[Passed] = ()) -> None:
        self.reasons: dict[str, tuple[int, list[str]]] = {}
        self.named: set[str] = set()
        for one in passed:
            self.add(one)

    def add(self, passed: Passed) -> None:
        """Count one more."""
        count, first = self.reasons.get(passed.why, (0, []))
        if len(first) < _NAMED:
            first.append(on_one_line(passed.file))
            self.named.add(passed.file)
        self.reasons[passed.why] = (count + 1, first)

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def lines(self) -> list[str]:
        """A line for each reason."""
        return [
            f"{count:,} {why} ({', '.join(first)}{', ...' if count > len(first) else ''})"
            for why, (count, first) in self.reasons.items()
        ]

    def __str__(self) -> str:
        return f"passed over: {'; '.join(self.lines())}" if self.reasons else ""


class Budget:
    """Time that listing may take; then it stops, and `spent` says so. The first few are listed in any case.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self.until, self.spent = time.monotonic() + seconds, False

    def take(self, items: Iterable[T]) -> Iterator[T]:
        """Pass items on while there is time."""
        for count, item in enumerate(items, 1):
            yield item
            if count % _BETWEEN_LOOKS == 0 and time.monotonic() > self.until:
                self.spent = True
                return


@dataclass
class ListedReader:
    """Image files below `root`. The list is an Arrow table: a tenth of the memory of Python strings.

    With `allow_outside`, files that paths or links lead to elsewhere are read too. A file of more than `max_bytes` is
    not.
    """

    format: str
    description: str
    labeled: bool
    root: Place
    entries: pa.Table = field(repr=False)
    total: int
    identity: str
    first: int = 0
    passed_over: PassedOver = field(default_factory=PassedOver, repr=False)
    faults: PassedOver = field(default_factory=PassedOver, repr=False)
    allow_outside: bool = False
    max_bytes: int = MAX_BYTES

    def __len__(self) -> int:
        return self.total

    def only(self, start: int, stop: int) -> "ListedReader":
        """Return a reader that carries the entries `start` to `stop` alone."""
        rows = self.entries.slice(start - self.first, stop - start).to_pylist()
        return replace(
            self,
            entries=pa.Table.from_pylist(rows, _SCHEMA),
            first=start,
            passed_over=PassedOver(),
            faults=PassedOver(),
        )

    def read(self, start: int, stop: int) -> Iterator[RawCrop]:
        """Yield crops `start` to `stop`; a file that cannot be read keeps its place, with the reason."""
        for batch in self.entries.slice(start - self.first, stop - start).to_batches(max_chunksize=1000):
            for file, label, fault, _ in (Entry(**row) for row in batch.to_pylist()):
                if fault and fault.startswith(NO_IMAGE):
                    yield RawCrop(file, None, None, fault)
                elif not self.allow_outside and leads_outside(self.root, file):
                    yield RawCrop(file, None, label, f"{OUTSIDE}: {_TRUSTED}")
                else:
                    data, reason = read_file(self.root / file, self.max_bytes)
                    yield RawCrop(file, data, label, reason or fault)

    def labels(self, start: int, stop: int) -> Iterator[str | None]:
        """Yield the labels of the crops `start` to `stop`; no image is read."""
        for batch in self.entries.slice(start - self.first, stop - start).to_batches(max_chunksize=1000):
            yield from batch["label"].to_pylist()

    def readable(self, keys: Sequence[str]) -> bool:
        """Whether any of these files, which could not be read, can be by now."""
        return any(self._is_readable(self.root / key) for key in keys)

    def _is_readable(self, file: Place) -> bool:
        if not _is_file(file):
            return False
        if not isinstance(file, Path):
            return file.size <= self.max_bytes
        return os.access(file, os.R_OK) and file.stat().st_size <= self.max_bytes


def open_listed(
    path: Place,
    images: Path | None,
    *,
    name: str,
    kind: str,
    read: Callable[[Any], Iterator[Entry | Passed]],
    labeled: bool | None = None,
    min_confidence: float | None = None,
    budget: Budget | None = None,
    allow_outside: bool = False,
) -> ListedReader:
    """Read a list and find its image files; if `path` is a folder, the list is the names of the files below it.

    Args:
        path: the list, or the folder.
        images: folder that the listed paths start from; None: looked for around the list.
        name: name of the layout.
        kind: the layout in words, for the description.
        read: reads the entries of `path`, and says what it passes over.
        labeled: whether the entries have labels; None: those of a list have, those of a folder have not.
        min_confidence: entries whose confidence is lower, or not there, are set aside; None: all are taken.
        budget: how long listing may take; None: as long as it needs.
        allow_outside: read also what paths of the list, or links, lead to outside the folder of the images.

    Raises:
        InputError: if the list has no entry of this layout, or none of its files can be found.
    """
    found: Iterator[Entry | Passed] = read(path) if budget is None else budget.take(read(path))
    chunks, passed, faults, sure = [_SCHEMA.empty_table()], PassedOver(), PassedOver(), 0

    def entries() -> Iterator[Entry]:
        nonlocal sure
        for one in found:
            if isinstance(one, Passed):
                passed.add(one)
                continue
            label = None if one.label is None else strip_marks(one.label)
            if label != one.label:
                faults.add(
                    Passed(one.file, "labels with line ends or invisible marks at their ends, which are left out")
                )
            sure += one.confidence is not None
            entry = _sure_enough(one._replace(label=label), min_confidence)
            if entry.fault:
                faults.add(Passed(entry.file, f"with the fault {entry.fault.partition(':')[0]!r}"))
            yield entry

    rows = entries()
    while chunk := list(islice(rows, _CHUNK)):
        columns = zip(*chunk, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
        chunks.append(pa.Table.from_arrays(arrays, schema=_SCHEMA))
    table = pa.concat_tables(chunks)
    if table.num_rows == 0:
        more = f"; {passed}" if passed else ""
        raise InputError(f"{path} holds no crop: image files or a list of them were expected; check the path{more}")
    if min_confidence is not None and not sure:
        raise InputError(f"min_confidence is {min_confidence}, and {path} gives no confidence: leave the option out")
    labels = path.is_file() if labeled is None else labeled
    if path.is_file():
        root = _images_of(path, table, images, allow_outside)
        with path.open("rb") as file:
            content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()  # type: ignore[arg-type]
        identity = f"{content} {os.path.relpath(root, path.parent)}"
        where = f"{path}, files below {root}"
    else:
        root, identity, where = path, f"{table.num_rows} {_digest_of_names(table)}", str(path)
    if min_confidence is not None:
        identity += f" min_confidence {min_confidence}"
    if allow_outside:
        identity += " allow_outside"
    things = "crops" if labels else "image files"
    description = f"{kind} of {table.num_rows:,} {things} {'with' if labels else 'without'} labels: {where}"
    notes = [*faults.lines(), *filter(None, [str(passed)])]
    return ListedReader(
        *(name, "; ".join([description, *notes]), labels, root, table, table.num_rows, f"{name} {identity}"),
        passed_over=passed,
        faults=faults,
        allow_outside=allow_outside,
    )


def too_long(size: int, most: int) -> str:
    """The reason of an image of more bytes than are read."""
    return f"{UNREADABLE}: {size:,} bytes, and {most:,} are the most"


def _sure_enough(entry: Entry, least: float | None) -> Entry:
    if least is None or entry.fault or (entry.confidence is not None and entry.confidence >= least):
        return entry
    found = "no confidence" if entry.confidence is None else f"low confidence: {entry.confidence:.4f}"
    return entry._replace(fault=f"{found}, min_confidence = {least}")


def _images_of(path: Place, table: pa.Table, images: Path | None, allow_outside: bool) -> Place:
    """Return the folder below which most of a few listed files lie."""
    listed = table.filter(pc.invert(pc.starts_with(pc.fill_null(table["fault"], ""), "bad line")))["file"]
    files = [listed[row].as_py() for row in range(0, len(listed), max(1, len(listed) // 50))]
    candidates: list[Place]
    if images is not None:
        candidates = [path.parent / images]
    else:
        parents: list[Any] = list(path.parents)
        candidates = [folder / name for folder in parents[:4] for name in _IMAGE_FOLDERS]
        candidates += [Path.cwd()]  # the paths that `lmim-kedro read` prints start from where it ran
    found = [[file for file in files if _is_file(candidate / file)] for candidate in candidates]
    hits = [
        sum(allow_outside or not leads_outside(candidate, file) for file in there)
        for candidate, there in zip(candidates, found, strict=True)
    ]
    if not any(hits) and any(found):
        there = next(filter(None, found))
        raise InputError(
            f"{len(there)} of {len(files)} files that {path} lists, such as {there[0]}, lie outside the folder that "
            f"their paths start from: {_TRUSTED}, if you trust the list; or name another folder as `images`"
        )
    if not any(hits):
        raise InputError(
            f"none of {len(files)} files that {path} lists, such as {files[0] if files else 'none'}, lies below "
            f"{', '.join(str(candidate) for candidate in candidates if candidate.is_dir()) or candidates[0]}: "
            "give the folder that the listed paths start from as `images`, relative to the list"
        )
    return candidates[hits.index(max(hits))]


def _is_file(path: Place) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _digest_of_names(table: pa.Table) -> str:
    digest = hashlib.blake2b(digest_size=16)
    labeled = table["label"].null_count < table.num_rows
    for batch in table.select(["file", "label"]).to_batches(max_chunksize=_CHUNK):
        digest.update("\n".join(batch.column(0).to_pylist()).encode())
        if labeled:
            digest.update("\n".join(map(repr, batch.column(1).to_pylist())).encode())
    return digest.hexdigest()


def leads_outside(root: Place, file: str) -> bool:
    """Whether a path, or a link on it, leads out of the folder that it starts from.

    Example:
        >>> leads_outside(Path("photos"), "../secret.png"), leads_outside(Path("photos"), "2024/../a.png")
        (True, False)
    """
    if not isinstance(root, Path):
        return False  # a member of an archive cannot lead out of it
    try:
        place = os.path.join(root, file)
        folder, name = os.path.split(place)
        real = os.path.join(_real_folder(folder), name)
        if name in ("", ".", "..") or os.path.islink(real):
            real = os.path.realpath(place)
        top = _real_folder(str(root))
        return not real.startswith(top if top.endswith(os.sep) else top + os.sep)
    except (OSError, ValueError):  # a name that no file can have is not read anyway
        return False


@lru_cache(maxsize=4096)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def read_file(path: Place, most: int = MAX_BYTES) -> tuple[bytes | None, str | None]:
    """The bytes of a file of at most that many bytes, or None and why there are none: it may be a pipe, for example."""
    try:
        if not isinstance(path, Path):
            return path.read_bytes(most), None
        with open_regular(path, most) as file:
            return file.read(most), None
    except FileNotFoundError:
        return None, MISSING
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        return None, f"{UNREADABLE}: {getattr(error, 'strerror', error)}"
