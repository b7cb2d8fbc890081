"""WebDataset: tar files in which `000.jpg` and `000.txt` (or `000.json`) follow each other. They are read in place."""

import hashlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from lmim_kedro.crops.sources.archives import LARGEST, Place
from lmim_kedro.crops.sources.image_files import IMAGE_SUFFIXES, Budget, Passed, PassedOver, too_long
from lmim_kedro.crops.sources.records import LABEL_COLUMNS, column_of
from lmim_kedro.crops.sources.source import Layout, RawCrop
from lmim_kedro.errors import InputError
from lmim_kedro.files import parse_json, require_regular
from lmim_kedro.params import MAX_BYTES
from lmim_kedro.text.marks import strip_marks

_LABELS = ("gt.txt", "txt", "json")
"""Where a sample's label is, the first of these that it has."""
_CHUNK = 10_000
_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("tar", pa.int32()),
        ("image", pa.int64()),
        ("bytes", pa.int64()),
        ("label", pa.int64()),
        ("label_bytes", pa.int64()),
        ("kind", pa.string()),
    ]
)


class Sample(NamedTuple):
    """Where a sample lies: its tar, then offset and length of its image and of its label, -1 where there is none."""

    key: str
    tar: int
    image: int = -1
    bytes: int = -1
    label: int = -1
    label_bytes: int = -1
    kind: str = ""


@dataclass
class WebDatasetReader:
    """Samples of some tars, by their places in them: no more than these is held."""

    files: tuple[Path, ...]
    samples: pa.Table = field(repr=False)
    total: int
    labeled: bool
    identity: str
    description: str
    first: int = 0
    format: str = "webdataset"
    passed_over: PassedOver = field(default_factory=PassedOver, repr=False)
    max_bytes: int = MAX_BYTES

    def __len__(self) -> int:
        return self.total

    def only(self, start: int, stop: int) -> "WebDatasetReader":
        """Return a reader that carries the samples `start` to `stop` alone."""
        rows = self.samples.slice(start - self.first, stop - start).to_pylist()
        return replace(self, samples=pa.Table.from_pylist(rows, _SCHEMA), first=start, passed_over=PassedOver())

    def read(self, start: int, stop: int) -> Iterator[RawCrop]:
        """Yield samples `start` to `stop`, in the order of the tars."""
        opened, file = -1, None
        try:
            for batch in self.samples.slice(start - self.first, stop - start).to_batches(max_chunksize=1000):
                for sample in (Sample(**row) for row in batch.to_pylist()):
                    if sample.tar != opened:
                        if file is not None:
                            file.close()
                        opened, file = sample.tar, self.files[sample.tar].open("rb")
                    yield self._crop(file, sample)
        finally:
            if file is not None:
                file.close()

    def _crop(self, file: Any, sample: Sample) -> RawCrop:
        label, reason = _label(file, sample) if self.labeled else (None, None)
        if sample.image < 0:
            return RawCrop(sample.key, None, label, "missing image: the sample has none")
        if sample.bytes > self.max_bytes:
            return RawCrop(sample.key, None, label, too_long(sample.bytes, self.max_bytes))
        return RawCrop(sample.key, _bytes(file, sample.image, sample.bytes), label, reason)


def _bytes(file: Any, offset: int, length: int) -> bytes:
    file.seek(offset)
    data: bytes = file.read(length)
    return data


def _label(file: Any, sample: Sample) -> tuple[str | None, str | None]:
    if sample.label < 0:
        return None, "no label"
    if sample.label_bytes > LARGEST:
        return None, f"bad label: {sample.label_bytes:,} bytes"
    try:
        text = _bytes(file, sample.label, sample.label_bytes).decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, "label not UTF-8"
    if sample.kind != "json":
        text = strip_marks(text)
        lines = len(text.splitlines()) or 1
        return (
            (text, None) if lines == 1 else (None, f"bad label: {lines} lines in {sample.kind}, and one was expected")
        )
    try:
        record = parse_json(text)
    except ValueError:
        return None, "bad label: no JSON"
    if isinstance(record, str):
        return record, None
    found = column_of(record, LABEL_COLUMNS) if isinstance(record, dict) else []
    values = {record[name] for name in found if isinstance(record[name], str)}
    if len(values) != 1:
        return None, f"{len(values)} labels for one crop" if values else f"no label: none of {', '.join(LABEL_COLUMNS)}"
    return values.pop(), None


def _members(path: Path, number: int, passed: PassedOver) -> Iterator[Sample]:
    """The samples of a tar: members of one name up to its first dot, which follow each other."""
    current: Sample | None = None
    require_regular(path)
    try:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep all of them
                if not member.isfile():
                    if not member.isdir():
                        passed.add(Passed(f"{path.name}/{member.name}", "links or devices, which are not read"))
                    continue
                name = os.path.normpath(member.name)
                if name.startswith(("/", "..")):
                    passed.add(Passed(f"{path.name}/{member.name}", "files that lead out of the archive"))
                    continue
                folder, base = os.path.split(name)
                if base.startswith("."):
                    passed.add(Passed(f"{path.name}/{member.name}", "hidden files"))
                    continue
                stem, _, ending = base.partition(".")
                key = f"{path.name}/{os.path.join(folder, stem)}"
                if current is not None and current.key != key:
                    yield current
                    current = None
                current = _with(current or Sample(key, number), member, ending.lower(), passed)
    except tarfile.TarError as error:
        raise InputError(
            f"{path} cannot be read as a tar ({error}): copy it again; unpack it first if it is compressed (gunzip)"
        ) from error
    if current is not None:
        yield current


def _with(sample: Sample, member: tarfile.TarInfo, ending: str, passed: PassedOver) -> Sample:
    if f".{ending.rpartition('.')[2]}" in IMAGE_SUFFIXES:
        if sample.image >= 0:
            passed.add(Passed(member.name, "second images of a sample"))
            return sample
        return sample._replace(image=member.offset_data, bytes=member.size)
    if ending not in _LABELS:
        passed.add(Passed(member.name, f".{ending} members, neither images nor labels"))
        return sample
    if sample.kind and _LABELS.index(sample.kind) < _LABELS.index(ending):
        passed.add(Passed(member.name, f".{ending} members beside a label in .{sample.kind}"))
        return sample
    return sample._replace(label=member.offset_data, label_bytes=member.size, kind=ending)


def open_webdataset(path: Path, budget: Budget | None = None) -> WebDatasetReader:
    """Open a tar, the tars of a folder, or those that a pattern matches.

    Raises:
        InputError: if they hold no image, or cannot be read.
    """
    files, passed = _files(path), PassedOver()
    found = (sample for number, file in enumerate(files) for sample in _members(file, number, passed))
    samples, tables = iter(found if budget is None else budget.take(found)), [_SCHEMA.empty_table()]
    while chunk := list(islice(samples, _CHUNK)):
        columns = zip(*chunk, strict=True)
        arrays = [pa.array(column, one.type) for column, one in zip(columns, _SCHEMA, strict=True)]
        tables.append(pa.Table.from_arrays(arrays, schema=_SCHEMA))
    table = pa.concat_tables(tables)
    pictured, lettered = pc.greater_equal(table["image"], 0), pc.greater_equal(table["label"], 0)
    if not pc.any(pictured).as_py():
        raise InputError(f"{path} holds no image{f' ({passed})' if passed else ''}: 000.jpg with 000.txt was expected")
    labeled = bool(pc.any(pc.and_(pictured, lettered)).as_py())
    # A label without its image keeps its place; a README.txt or an index is none.
    crops = pc.or_(pictured, pc.is_in(table["kind"], value_set=pa.array(_LABELS[:2]))) if labeled else pictured
    for key in table.filter(pc.invert(crops))["key"].to_pylist():
        passed.add(Passed(key, "names without an image"))
    table = table.filter(crops)
    labels = pc.sum(pc.greater_equal(table["label"], 0)).as_py()
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
    for key in table["key"].to_pylist() if budget is None else []:
        digest.update(key.encode("utf-8", "surrogateescape"))
    kind = f"WebDataset of {table.num_rows:,} crops {'with' if labeled else 'without'} labels: {path}"
    notes = [kind + (f", {len(files)} tars" if len(files) > 1 else "")]
    if labeled and labels < table.num_rows:
        notes.append(f"{table.num_rows - labels:,} of them without a label")
    return WebDatasetReader(
        *(tuple(files), table, table.num_rows, labeled, f"webdataset {digest.hexdigest()}"),
        description="; ".join([*notes, *filter(None, [str(passed)])]),
        passed_over=passed,
    )


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(path.parent.glob(path.name)) if "*" in path.name else sorted(path.glob("*.tar"))


def _looks_like(path: Place) -> bool:
    if not isinstance(path, Path):
        return False
    if path.is_dir():
        return any(True for _ in path.glob("*.tar"))
    if not path.exists() and "*" in path.name:
        return path.suffix == ".tar"
    if path.suffix in (".tgz", ".gz", ".bz2", ".xz", ".zst"):
        raise InputError(f"{path} is compressed, and crops are looked up in a tar: unpack it first, as with `gunzip`")
    with path.open("rb") as file:
        return file.read(262)[257:] == b"ustar"


WEBDATASET = Layout(
    "webdataset",
    lambda path, budget=None: open_webdataset(path, budget),
    looks_like=_looks_like,
    options=("path",),
    sign="a tar in which 000.jpg and 000.txt follow each other",
    bounded=True,
    holds_images=(".tar", ".tgz", ".tar.gz"),
)
