"""What all lists of crops share: how users' text is read, and which of its columns are the file and the label."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from lmim_kedro.crops.sources.archives import Place
from lmim_kedro.crops.sources.image_files import IMAGE_SUFFIXES, Entry
from lmim_kedro.errors import InputError
from lmim_kedro.files import open_text

FILE_COLUMNS = ("filename", "file_name", "file", "image", "image_path", "img_path", "path", "key")
LABEL_COLUMNS = ("text", "label", "words", "word", "transcription")
NAMES = f"a column for the file ({', '.join(FILE_COLUMNS)}) and one for the text ({', '.join(LABEL_COLUMNS)})"
CONFIDENCE = "confidence"
_NOT_UTF8 = re.compile("[\ud800-\udfff]")
"""Halves of characters, which JSON and file systems may hold and UTF-8 may not, and bytes that are no UTF-8."""
_LOOKED_AT = 50
_LONGEST = 100_000
"""Characters of a line that are looked at to tell the layout of a file."""
_LONGEST_LINE = 10_000_000
"""Characters of the longest line of a list."""


def lines_of(path: Place) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers, without line ends.

    Errors: InputError for a line that no list has, as in a large file of zeros.
    """
    with open_text(path) as file:
        for number, line in enumerate(iter(partial(file.readline, _LONGEST_LINE), ""), 1):
            if len(line) == _LONGEST_LINE:
                raise InputError(f"line {number} of {path} has {_LONGEST_LINE:,} characters or more: it is no list")
            if line.strip():
                yield number, line.removesuffix("\n")


def first_lines(path: Place) -> list[str]:
    """The first lines of a file that are not blank; none where it is no text."""
    found: list[str] = []
    try:
        with open_text(path) as file:
            for _ in range(2 * _LOOKED_AT):
                line = file.readline(_LONGEST)
                if not line or "\0" in line or len(found) == _LOOKED_AT:
                    break
                if line.strip():
                    found.append(line.rstrip("\n"))
    except (OSError, UnicodeError):
        return []
    return found


def first_line(path: Place) -> str:
    """The first line of a file that is not blank; empty where there is none."""
    lines = first_lines(path)
    return lines[0].encode("utf-8", "replace").decode("utf-8") if lines else ""


def checked(file: object, label: object, fault: str | None = None, confidence: float | None = None) -> Entry:
    """Return an entry with forward slashes, and with a fault if its label is no text that UTF-8 can hold.

    Errors: TypeError if the file or the label is no text.
    """
    if not isinstance(file, str) or not isinstance(label, str | None):
        raise TypeError("a file and a label are text")
    file = PurePosixPath(file.replace("\\", "/")).as_posix()
    if _NOT_UTF8.search(file):
        return Entry(file.encode("utf-8", "backslashreplace").decode(), None, "bad line: file name not UTF-8")
    if label is not None and _NOT_UTF8.search(label):
        return Entry(file, None, "label not UTF-8")
    return Entry(file, label, fault, confidence)


def column_of(names: Iterable[str], known: tuple[str, ...]) -> list[str]:
    """The names that stand for one of the known columns, in any case."""
    return [name for name in names if name.strip().lower() in known]


def entry_of(record: Any) -> Entry | None:
    """The entry of a record with named fields; None if it names no file or has no field for a label.

    Example:
        >>> entry_of({"file_name": "a.png", "text": "door", "source": "street"})
        Entry(file='a.png', label='door', fault=None, confidence=None)
    """
    if not isinstance(record, Mapping):
        return None
    files, labels = column_of(record, FILE_COLUMNS), column_of(record, LABEL_COLUMNS)
    if len({record[name] for name in files if isinstance(record[name], str)}) != 1 or not labels:
        return None
    (file,) = {record[name] for name in files if isinstance(record[name], str)}
    values = [record[name] for name in labels]
    if error := record.get("error"):
        return checked(file, None, f"no label: {error}")
    if any(value != values[0] for value in values):
        return checked(file, None, f"{len(values)} labels for one crop: {', '.join(labels)}")
    if values[0] is not None and not isinstance(values[0], str):
        return checked(file, None, f"bad label: {labels[0]} is {json.dumps(values[0])[:40]}, and text was expected")
    return checked(file, values[0], None if values[0] is not None else "no label", number(record.get(CONFIDENCE)))


def number(value: object) -> float | None:
    """A confidence as a number; None where there is none."""
    try:
        return None if value is None or isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def names_image(text: str) -> bool:
    """Whether a text ends as the name of an image file does.

    Example:
        >>> names_image("crops/a.JPG"), names_image("README.txt")
        (True, False)
    """
    return PurePosixPath(text.strip().replace("\\", "/")).suffix.lower() in IMAGE_SUFFIXES
