"""Files with predictions and labels, in the forms in which people have them."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from lmim_kedro.errors import InputError
from lmim_kedro.files import parse_json, read_text

COLUMNS = ("prediction", "label")
_BRACKETS = re.compile(r"\d+ \[(.*)\]", re.DOTALL)
_EXPECTED = (
    "lines of the form `index [prediction] [label]`, or CSV, TSV or JSONL with the columns `prediction` and `label`"
)


def read_pairs(path: str | Path) -> tuple[list[str], list[str]]:
    """Read the predictions and labels of a file. The first line decides its form, whatever its name.

    TSV has no quoting, CSV has the usual one, and a JSONL line is an object with two strings.
    In `index [prediction] [label]` both may hold brackets and spaces; see `split_brackets`.

    Errors: InputError naming file and line for what does not fit; for a file that is missing, empty or not UTF-8.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except InputError as error:
        raise InputError(f"{error}; give a file with {_EXPECTED}") from error
    text = text.rstrip("\n")
    first = text.partition("\n")[0]
    pairs = list(_reader(path, first)(path, text)) if text else []
    if not pairs:
        raise InputError(f"{path} holds no predictions: expected {_EXPECTED}")
    return [prediction for prediction, _ in pairs], [label for _, label in pairs]


def split_brackets(line: str) -> tuple[str, str] | None:
    """Prediction and label of `index [prediction] [label]`; None if the line is not of this form.

    Where `] [` occurs once, that is the place. Where it occurs more often, both texts must have their brackets closed,
    and only one place may make it so. Otherwise the line is ambiguous, and None is returned.

    Example:
        >>> split_brackets("7 [a [b]] [c]")
        ('a [b]', 'c')
    """
    found = _BRACKETS.fullmatch(line)
    if found is None:
        return None
    body = found[1]
    # A lookahead, so that places may overlap: `[] [] []` has two.
    halves = [(body[: place.start()], body[place.start() + 3 :]) for place in re.finditer(r"(?=\] \[)", body)]
    if len(halves) > 1:
        halves = [pair for pair in halves if all(map(_closed, pair))]
    return halves[0] if len(halves) == 1 else None


def _closed(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if depth < 0:
            return False
    return depth == 0


def _reader(path: Path, first: str) -> Callable[[Path, str], Iterator[tuple[str, str]]]:
    """Choose the form of a file by its first line."""
    if first.startswith("{"):
        return _jsonl
    if _BRACKETS.fullmatch(first):
        return _brackets
    if set(COLUMNS) <= set(first.split("\t")):
        return _tsv
    try:
        if set(COLUMNS) <= set(next(csv.reader([first]), [])):
            return _csv
    except csv.Error:  # such as a field of more than 131,072 characters
        pass
    shown = first if len(first) <= 60 else first[:57] + "..."
    raise InputError(f"{path}:1 is {shown!r}: expected {_EXPECTED}")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines. Only newlines end one: a label may hold U+2028 and its like."""
    return enumerate(text.split("\n"), 1)


def _brackets(path: Path, text: str) -> Iterator[tuple[str, str]]:
    for number, line in _lines(text):
        pair = split_brackets(line)
        if pair is None:
            raise InputError(
                f"{path}:{number} is {line!r}, which is not `index [prediction] [label]`, or is so in more than one "
                "way: mend the line, or use JSONL with `prediction` and `label`"
            )
        yield pair


def _tsv(path: Path, text: str) -> Iterator[tuple[str, str]]:
    return _table(path, ((number, line.split("\t")) for number, line in _lines(text)))


def _csv(path: Path, text: str) -> Iterator[tuple[str, str]]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        yield from _table(path, ((rows.line_num, row) for row in rows))
    except csv.Error as error:
        raise InputError(f"{path}:{rows.line_num} is not CSV ({error}): quote fields that hold quotes") from error


def _table(path: Path, rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[str, str]]:
    _, header = next(rows)
    prediction, label = (header.index(name) for name in COLUMNS)
    for number, row in rows:
        if len(row) != len(header):
            raise InputError(f"{path}:{number} has {len(row)} columns, but the header has {len(header)}: mend the line")
        yield row[prediction], row[label]


def _jsonl(path: Path, text: str) -> Iterator[tuple[str, str]]:
    for number, line in _lines(text):
        try:
            row = parse_json(line)
            prediction, label = (row[name] for name in COLUMNS)
        except (ValueError, KeyError, TypeError):
            prediction = label = None
        if not (isinstance(prediction, str) and isinstance(label, str)):
            raise InputError(f"{path}:{number} is not a JSON object with the strings `prediction` and `label`: mend it")
        yield prediction, label
