"""Readings as CSV, JSON lines or Parquet, written row by row."""

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from lmim_kedro.errors import InputError
from lmim_kedro.files import guarded, whole
from lmim_kedro.text.spelling import COLUMNS, Reading

WORD_CONFIDENCES = ("confidence", "confidence_mean", "confidence_min")
FORMATS = ("csv", "jsonl", "parquet")
DIGITS = 4  # of confidences: more would be the noise of the machine's arithmetic
_CHUNK = 10_000


def row(reading: Reading) -> dict[str, Any]:
    """One reading under the names of COLUMNS; confidences are rounded.

    Example:
        >>> row(Reading("a", 0.123456, (0.5,), key="a.png"))["confidence"]
        0.1235
    """
    return {
        "key": reading.key,
        "text": reading.text,
        **{name: round(getattr(reading, name), DIGITS) for name in WORD_CONFIDENCES},
        "confidences": [round(value, DIGITS) for value in reading.confidences],
        "error": reading.error,
    }


def write_readings(readings: Iterable[Reading], path: Path, format: str) -> tuple[int, int]:
    """Write a file that appears whole or not at all.

    Args:
        readings: readings, also as a stream; no more than a few thousand are held.
        path: path of the file.
        format: csv, jsonl or parquet.

    Returns: number of crops, and how many of them could not be read.
    """
    counts = [0, 0]

    def counted() -> Iterator[Reading]:
        for reading in readings:
            counts[0] += 1
            counts[1] += reading.error is not None
            yield reading

    with whole(path) as part:
        if format == "parquet":
            _write_parquet(counted(), part)
        else:
            with part.open("w", encoding="utf-8", newline="") as file:
                write_text(counted(), file, format)
    return counts[0], counts[1]


def write_text(readings: Iterable[Reading], file: TextIO, format: str) -> None:
    """Write CSV or JSON lines; in CSV, `confidences` is a JSON list and no value is an empty field.

    In CSV, and there alone, texts that a spreadsheet would take for formulas are guarded (`files.guarded`).

    Example:
        >>> import sys
        >>> write_text([Reading("ab", 0.5, (1.0, 0.5), key="a.png")], sys.stdout, "csv")
        key,text,confidence,confidence_mean,confidence_min,confidences,error
        a.png,ab,0.5,0.75,0.5,"[1.0, 0.5]",
    """
    if format == "jsonl":
        for reading in readings:
            file.write(json.dumps(row(reading), ensure_ascii=False) + "\n")
    elif format == "csv":
        plain, quoted = (
            csv.DictWriter(file, COLUMNS, lineterminator="\n", quoting=quoting)
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        plain.writeheader()
        for reading in readings:
            values = row(reading)
            texts = {name: guarded(value) for name, value in values.items() if isinstance(value, str)}
            broken = any("\r" in text for text in texts.values())  # which ends a line too, but is not quoted for it
            (quoted if broken else plain).writerow(values | texts | {"confidences": json.dumps(values["confidences"])})
    else:
        raise InputError(f"format {format!r} is unknown: choose one of {', '.join(FORMATS)}")


def _write_parquet(readings: Iterator[Reading], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.string(), pa.float64()
    types = (text, text, *[number] * len(WORD_CONFIDENCES), pa.list_(number), text)
    schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
    with pq.ParquetWriter(path, schema) as writer:
        while chunk := list(islice(readings, _CHUNK)):
            writer.write_table(pa.Table.from_pylist([row(reading) for reading in chunk], schema))
