"""Parquet files: images in a column of bytes, as Hugging Face's data sets have them, or the paths of image files."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa

from lmim_kedro.crops.sources.archives import Place
from lmim_kedro.crops.sources.image_files import Budget, Entry, open_listed, too_long
from lmim_kedro.crops.sources.records import CONFIDENCE, FILE_COLUMNS, LABEL_COLUMNS, NAMES, column_of, entry_of, number
from lmim_kedro.crops.sources.source import Layout, RawCrop
from lmim_kedro.errors import InputError
from lmim_kedro.files import require_regular
from lmim_kedro.params import MAX_BYTES

_IMAGES = (*FILE_COLUMNS, "img", "jpg", "png", "bytes", "image_bytes", "data")
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}")
_ROWS = 64
"""Rows that are held at a time."""


@dataclass
class ParquetReader:
    """Rows of Parquet files, one after the other. `starts` has the position of the first row of each, and the end."""

    files: tuple[Path, ...]
    starts: tuple[int, ...] = field(repr=False)
    image: str
    label: str | None
    confidence: str | None
    min_confidence: float | None
    identity: str
    description: str
    format: str = "parquet"
    max_bytes: int = MAX_BYTES

    @property
    def labeled(self) -> bool:
        """Whether there is a column of labels."""
        return self.label is not None

    def __len__(self) -> int:
        return self.starts[-1]

    def read(self, start: int, stop: int) -> Iterator[RawCrop]:
        """Yield rows `start` to `stop`, a few at a time."""
        columns = [name for name in (self.image, self.label, self.confidence) if name is not None]
        for place, row in self._rows(start, stop, columns):
            yield self._crop(place, row)

    def labels(self, start: int, stop: int) -> Iterator[str | None]:
        """Yield the labels of the rows `start` to `stop`; no image is read."""
        if self.label is None:
            yield from [None] * (stop - start)
            return
        for _, row in self._rows(start, stop, [self.label]):
            yield row[self.label]

    def _rows(self, start: int, stop: int, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        place = start
        while place < stop:
            number = bisect_right(self.starts, place) - 1
            first, last = self.starts[number], min(self.starts[number + 1], stop)
            with _open(self.files[number]) as file:
                groups = list(
                    accumulate((file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)), initial=0)
                )
                wanted = [
                    group
                    for group in range(file.num_row_groups)
                    if groups[group + 1] > place - first and groups[group] < last - first
                ]
                row = first + groups[wanted[0]]
                for batch in _batches(file, self.files[number], _ROWS, row_groups=wanted, columns=columns):
                    for offset, values in enumerate(batch):
                        if place <= row + offset < last:
                            yield row + offset, values
                    row += len(batch)
                    if row >= last:
                        break
            place = last

    def _crop(self, place: int, row: dict[str, Any]) -> RawCrop:
        key, data = f"row {place}", row[self.image]
        if isinstance(data, dict):
            key, data = f"{key}, {data['path']}" if data.get("path") else key, data["bytes"]
        label = None if self.label is None else row[self.label]
        if data is None:
            return RawCrop(key, None, label, "missing image: the row has no bytes")
        if len(data) > self.max_bytes:
            return RawCrop(key, None, label, too_long(len(data), self.max_bytes))
        reason = None
        if self.min_confidence is not None and self.confidence is not None:
            sure = number(row[self.confidence])
            if sure is None or sure < self.min_confidence:
                reason = f"low confidence: {sure}, min_confidence = {self.min_confidence}"
        return RawCrop(key, data, label, reason)


def open_parquet(
    path: Path,
    images: Path | None = None,
    min_confidence: float | None = None,
    budget: Budget | None = None,
    allow_outside: bool = False,
) -> Any:
    """Open a Parquet file, or all shards of one split in a folder.

    Raises:
        InputError: if there is no column of images, or the folder holds several splits.
    """
    files = _files(path)
    schema, rows = _schema_and_rows(files)
    image = _image_column(schema)
    labels = column_of(schema.names, LABEL_COLUMNS)
    if len(labels) > 1:
        raise InputError(
            f"{files[0]} has several columns that may be the label ({', '.join(labels)}): leave one of these names, "
            "and call the others something else"
        )
    if image is None:
        if len(files) == 1 and column_of(schema.names, FILE_COLUMNS) and labels:
            return open_listed(
                *(files[0], images),
                name="parquet", kind="Parquet list", read=_read_paths, min_confidence=min_confidence, budget=budget,
                allow_outside=allow_outside,
            )  # fmt: skip
        raise InputError(
            f"{files[0]} has the columns {', '.join(schema.names)[:200]}, and none of them holds images: a struct of "
            f"`bytes` and `path`, or bytes, was expected, or {NAMES}"
        )
    label, note = (labels[0], "") if labels else (None, "")
    if label is not None and not _is_text(schema.field(label).type):
        note = f"; its column {label} holds {schema.field(label).type}, no text, and is not used"
        label = None
    sure = CONFIDENCE if CONFIDENCE in schema.names else None
    if min_confidence is not None and sure is None:
        raise InputError(f"min_confidence is {min_confidence}, and {path} gives no confidence: leave the option out")
    starts = tuple(accumulate(rows, initial=0))
    identity = " ".join(f"{file.name} {file.stat().st_size} {count}" for file, count in zip(files, rows, strict=True))
    kind = f"Parquet of {starts[-1]:,} crops {'with' if label else 'without'} labels: {path}"
    shards = f", {len(files)} files" if len(files) > 1 else ""
    return ParquetReader(
        *(tuple(files), starts, image, label, sure, min_confidence),
        identity=f"parquet {image} {label} {min_confidence} {identity}",
        description=f"{kind}{shards}{note}",
    )


def _schema_and_rows(files: list[Path]) -> tuple[Any, list[int]]:
    """The schema that all files have, and how many rows each has. Errors: InputError where one has another."""
    schema, rows = None, []
    for file in files:
        with _open(file) as opened:
            if schema is not None and not opened.schema_arrow.equals(schema):
                raise InputError(f"{file} has other columns than {files[0]}: make each a source of its own")
            schema = opened.schema_arrow
            rows.append(opened.metadata.num_rows)
    return schema, rows


def _read_paths(path: Place) -> Iterator[Entry]:
    with _open(Path(path)) as file:
        names = file.schema_arrow.names
        wanted = [*column_of(names, FILE_COLUMNS), *column_of(names, LABEL_COLUMNS)]
        wanted += [name for name in (CONFIDENCE, "error") if name in names]
        row = 0
        for batch in _batches(file, path, 10_000, columns=wanted):
            for record in batch:
                yield entry_of(record) or Entry(f"row {row}", None, "bad line: expected a file")
                row += 1


def _open(file: Path) -> Any:
    from pyarrow.parquet import ParquetFile

    require_regular(file)
    try:
        return ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file} cannot be read as Parquet ({error}): copy or download it again") from error


def _batches(opened: Any, file: Place, rows: int, **which: Any) -> Iterator[list[dict[str, Any]]]:
    """Rows of an open file, some at a time. Errors: InputError where a page is damaged."""
    try:
        for batch in opened.iter_batches(rows, **which):
            yield batch.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file} is damaged inside ({reason}): copy or download it again") from error


def _files(path: Path) -> list[Path]:
    """The files that a path names: itself, what a pattern matches, or the shards of the one split of a folder."""
    if path.is_file():
        return [path]
    files = sorted(path.parent.glob(path.name)) if "*" in path.name else shards_in(path)
    splits = sorted({_split_of(file) for file in files})
    if len(splits) > 1:
        raise InputError(
            f"{path} holds several splits ({', '.join(splits)}): name one as the path, "
            f"{files[0].parent / splits[0]}*.parquet"
        )
    return files


def _split_of(file: Path) -> str:
    found = _SHARD.fullmatch(file.stem)
    return found[1] if found else file.stem


def shards_in(folder: Path) -> list[Path]:
    """The Parquet files of a folder, or of its `data`, where Hugging Face puts them."""
    return sorted(folder.glob("*.parquet")) or sorted((folder / "data").glob("*.parquet"))


def _image_column(schema: Any) -> str | None:
    for name in schema.names:
        kind = schema.field(name).type
        if pa.types.is_struct(kind) and {"bytes", "path"} <= {kind.field(i).name for i in range(kind.num_fields)}:
            return str(name)
    binary = [name for name in column_of(schema.names, _IMAGES) if _is_bytes(schema.field(name).type)]
    return binary[0] if len(binary) == 1 else None


def _is_bytes(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _looks_like(path: Place) -> bool:
    if not isinstance(path, Path):
        return False
    if path.is_dir():
        return bool(shards_in(path))
    if not path.exists() and "*" in path.name:
        return path.suffix == ".parquet"
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


PARQUET = Layout(
    "parquet",
    open_parquet,
    looks_like=_looks_like,
    options=("path", "images", "min_confidence", "allow_outside"),
    sign="a struct of `bytes` and `path`, as Hugging Face writes images",
    bounded=True,
    holds_images=(".parquet",),
)
