"""Lists of crops as lines of columns: comma, semicolon or tab between them, with names in the first line or without.

All are read by one parser, `rows_of`. A line with more columns than its layout has is a fault of that line, so that no
column ever ends up in a label.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from lmim_kedro.crops.sources.archives import Place
from lmim_kedro.crops.sources.image_files import Entry, open_listed
from lmim_kedro.crops.sources.records import (
    FILE_COLUMNS,
    LABEL_COLUMNS,
    NAMES,
    checked,
    column_of,
    entry_of,
    first_line,
    first_lines,
    lines_of,
    names_image,
    number,
)
from lmim_kedro.crops.sources.source import Layout
from lmim_kedro.errors import InputError
from lmim_kedro.files import parse_json, unguarded
from lmim_kedro.text.spelling import COLUMNS

TAB = "\t"
SCRIPTS = frozenset(
    ("arabic", "latin", "chinese", "japanese", "korean", "bangla", "bengali", "hindi", "devanagari", "symbols")
    + ("mixed", "none", "cyrillic", "greek", "hebrew", "tamil", "telugu", "thai", "kannada", "gujarati", "gurmukhi")
    + ("malayalam", "oriya", "odia")
)
"""What ICDAR's multi-lingual sets write in their second column."""
_ICDAR_QUOTES = re.compile(r'[^,"]+,(\s+".*"|\s*".*\\".*")\s*')
_UNQUOTED_WITH_SPACE = re.compile(r'[^,"]+,\s+[^",]*')
_BOXES = re.compile(r'\t\s*\[\s*\{\s*"(transcription|points)"')
"""What PPOCRLabel writes of a photograph, beside the rec_gt.txt of its crops."""
_LONGEST_RECORD = 20
"""Lines that one quoted field may go over; after them the quote is taken for one that is not closed."""

BAD_LINE = "bad line: expected "


class Columns(NamedTuple):
    """Where a list has what: its delimiter, the names of its first line (none: it has none), and its width."""

    delimiter: str
    names: list[str]
    width: int


def rows_of(
    path: Place, delimiter: str, width: int | None, quotes: bool = True
) -> Iterator[tuple[int, list[str] | str]]:
    """The rows of a table with the numbers of their first lines; a text instead of a row says why it is none.

    A quote that is not closed costs its own line alone: a field goes over several lines only where this gives a row of
    the right width.

    Args:
        path: the table.
        delimiter: what stands between two columns.
        width: columns of a row that goes over several lines; None: of any.
        quotes: whether fields may be quoted, with quotes doubled inside. Lists with tabs use none.
    """
    waiting: list[tuple[int, str]] = []
    lines = lines_of(path)
    while True:
        following = waiting.pop(0) if waiting else next(lines, None)
        if following is None:
            return
        number, text = following
        if not quotes:
            yield number, text.split(delimiter)
            continue
        row = _split(text, delimiter)
        if row is not None:
            yield number, row
            continue
        record = [text]
        taken: list[tuple[int, str]] = []
        while len(record) < _LONGEST_RECORD and (more := waiting.pop(0) if waiting else next(lines, None)) is not None:
            taken.append(more)
            record.append(more[1])
            row = _split("\n".join(record), delimiter)
            if row is not None:
                break
        if row is not None and (width is None or len(row) == width):
            yield number, row
        else:
            waiting[:0] = taken
            yield number, "quotes that are closed and doubled inside"


def _split(text: str, delimiter: str) -> list[str] | None:
    """One row as the csv module reads it; None where its quotes do not close."""
    try:
        lines = [f"{line}\n" for line in text.split("\n")]  # a label may hold U+2028 and its like
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def columns_of(path: Place) -> Columns | None:
    """Find the delimiter, the names and the width of a table by its first lines; None where it is no table."""
    lines = first_lines(path)
    if not lines or lines[0].lstrip()[:1] in ("{", "<") or _BOXES.search(lines[0]):
        return None
    for delimiter in (TAB, ",", ";"):
        names = [name.strip() for name in _split(lines[0], delimiter) or []]
        if len(names) > 1 and column_of(names, FILE_COLUMNS) and column_of(names, LABEL_COLUMNS):
            return Columns(delimiter, names, len(names))
    found = _delimiter_of(lines[0])
    if found is None:
        return None
    widths = Counter(len(_cells(line, found)) for line in lines)
    return Columns(found, [], widths.most_common(1)[0][0])


def _delimiter_of(line: str) -> str | None:
    """What stands after the image file that a line begins with, else the first delimiter that it has."""
    if line.startswith('["'):  # PaddleOCR's several pictures of one text
        return TAB if TAB in line else None
    has = [mark for mark in (TAB, ",", ";") if mark in line]
    return next((mark for mark in has if names_image(line.split(mark)[0].strip('"'))), has[0] if has else None)


def _cells(line: str, delimiter: str) -> list[str]:
    return line.split(delimiter) if delimiter == TAB else _split(line, delimiter) or line.split(delimiter)


def _read_table(path: Place) -> Iterator[Entry]:
    """Lists with commas, semicolons or tabs between their columns."""
    columns = columns_of(path)
    if columns is None:
        example = first_line(path)[:80]
        if _BOXES.search(example):
            raise InputError(f"{path} holds {why_no_table(path)}")
        raise InputError(
            f"no line of {path} could be read: lines of path<TAB>label, or of columns with commas, were expected, "
            f"{example!r} was found"
        )
    if columns.names:
        yield from _read_named(path, columns)
    else:
        yield from _counted(path, _read_unnamed(path, columns), _expected(columns.delimiter))


def _expected(delimiter: str) -> str:
    return "lines of " + {TAB: "path<TAB>label", ",": "path,label", ";": "path;label"}[delimiter]


def _read_named(path: Place, columns: Columns) -> Iterator[Entry]:
    for known, what in ((FILE_COLUMNS, "file"), (LABEL_COLUMNS, "label")):
        if len(found := column_of(columns.names, known)) > 1:
            raise InputError(
                f"{path} has several columns that may be the {what} ({', '.join(found)}): leave one of these names, "
                "and call the others something else"
            )
    rows = rows_of(path, columns.delimiter, columns.width)
    next(rows)
    lower = [name.lower() for name in columns.names]
    ours = columns.names == list(COLUMNS) and columns.delimiter == ","  # readings that this project wrote
    for line, row in rows:
        if ours and not isinstance(row, str):
            row = list(map(unguarded, row))
        if isinstance(row, str):
            yield Entry(f"line {line}", None, BAD_LINE + row)
        elif len(row) != columns.width:
            yield Entry(
                f"line {line}", None, f"{BAD_LINE}{columns.width} columns, as the first line names, found {len(row)}"
            )
        else:
            yield entry_of(dict(zip(lower, row, strict=True))) or Entry(f"line {line}", None, BAD_LINE + "a file")


def _read_unnamed(path: Place, columns: Columns) -> Iterator[Entry | None]:
    """Two columns, or three of which the last is a confidence, as `lmim-kedro read` prints them."""
    sure = _third_is_confidence(path, columns)
    if columns.width > 2 and not sure:
        raise InputError(
            f"{path} has {columns.width} columns without names, and which of them is the label is not known: write "
            f"names into a first line, such as filename{columns.delimiter}text{columns.delimiter}more; put labels that "
            "hold the delimiter in quotes"
        )
    width = 3 if sure else 2
    for line, row in rows_of(path, columns.delimiter, width, quotes=columns.delimiter != TAB):
        if isinstance(row, str):
            yield Entry(f"line {line}", None, BAD_LINE + row)
        elif len(row) == 1:
            yield Entry(f"line {line}", None, BAD_LINE + _expected(columns.delimiter))
        elif len(row) != width:
            yield Entry(f"line {line}", None, f"{BAD_LINE}{width} columns, found {len(row)}")
        else:
            for file in _files(row[0].strip()):
                yield checked(file, row[1], None, number(row[2]) if sure else None)


def _third_is_confidence(path: Place, columns: Columns) -> bool:
    if columns.width != 3:
        return False
    thirds = [cells[2] for line in first_lines(path) if len(cells := _cells(line, columns.delimiter)) == 3]
    values = [number(third) for third in thirds]
    return all("." in third for third in thirds) and all(value is not None and 0 <= value <= 1 for value in values)


def _files(cell: str) -> list[str]:
    """The files of a line: one, or PaddleOCR's several pictures of one text, `["a.jpg", "b.jpg"]`."""
    if cell.startswith('["'):
        try:
            files = parse_json(cell)
        except ValueError:
            return [cell]
        if files and all(isinstance(file, str) for file in files):
            return list(files)
    return [cell]


def _counted(path: Place, entries: Iterator[Entry | None], expected: str) -> Iterator[Entry]:
    """Pass entries on. Errors: InputError at the end, if there was none but faulty lines."""
    known, example = 0, ""
    for entry in entries:
        if entry is None:
            continue
        known += not (entry.fault or "").startswith("bad line")
        yield entry
    if not known:
        example = repr(first_line(path)[:80]) if first_line(path) else "nothing"
        raise InputError(f"no line of {path} could be read: {expected} were expected, {example} was found")


def _by_line(path: Place, parse: Callable[[str], Entry | str], expected: str) -> Iterator[Entry]:
    def entries() -> Iterator[Entry]:
        for place, line in lines_of(path):
            entry = parse(line)
            yield Entry(f"line {place}", None, f"bad line: {entry}") if isinstance(entry, str) else entry

    return _counted(path, entries(), f"lines of {expected}")


def _parse_icdar(line: str) -> Entry | str:
    """ICDAR's gt.txt: `word_1.png, "JOINT"`; a quoted label may hold commas, quotes and escaped quotes."""
    file, comma, label = line.partition(",")
    if not comma:
        return 'expected lines of word_1.png, "JOINT"'
    label = label.strip()
    if len(label) >= 2 and label[0] == label[-1] == '"':
        return checked(file.strip(), re.sub(r'\\(["\\])', r"\1", label[1:-1]))
    if "," in label:
        return f"expected 2 columns, found {1 + line.count(',')}: put labels that hold commas in quotes"
    return checked(file.strip(), label)


def _parse_mlt(line: str) -> Entry | str:
    """ICDAR MLT's gt.txt: `word_1.png,Latin,JOINT`; all after the second comma is the label."""
    cells = line.split(",", 2)
    if len(cells) != 3 or cells[1].strip().lower() not in SCRIPTS:
        return "expected word_1.png,Latin,JOINT: a file, a script and a label"
    return checked(cells[0].strip(), cells[2])


def _parse_easyocr(line: str) -> Entry | str:
    """EasyOCR's labels.csv: all after the first comma is the label; in quotes where pandas wrote it."""
    file, comma, label = line.partition(",")
    if not comma:
        return "expected lines of filename,words"
    inner = label[1:-1] if len(label) >= 2 and label[0] == label[-1] == '"' else '"'
    if '"' not in inner.replace('""', ""):
        label = inner.replace('""', '"')
    return checked(file.strip(), label)


def _read_easyocr(path: Place) -> Iterator[Entry]:
    entries = _by_line(path, _parse_easyocr, "filename,words")
    next(entries)  # the names
    yield from entries


def _is_easyocr(path: Place) -> bool:
    return first_line(path).strip().lower() == "filename,words"


def _is_mlt(path: Place) -> bool:
    lines = [line.split(",") for line in first_lines(path)]
    return bool(lines) and all(len(cells) > 2 and cells[1].strip().lower() in SCRIPTS for cells in lines)


def _is_icdar(path: Place) -> bool:
    lines, columns = first_lines(path), columns_of(path)
    if columns is None or columns.delimiter != "," or columns.names:
        return False
    if any(_ICDAR_QUOTES.fullmatch(line) for line in lines):
        return True
    return all(_UNQUOTED_WITH_SPACE.fullmatch(line) for line in lines)


def _is_table(path: Place, delimiters: str) -> bool:
    columns = columns_of(path)
    return columns is not None and columns.delimiter in delimiters


def _surely(path: Place) -> bool:
    """Tell a list from a README.txt: names in the first line, or image files at the start of the first lines."""
    columns = columns_of(path)
    if columns is None:
        return False
    if columns.names:
        return True
    starts = [_cells(line, columns.delimiter)[0].strip() for line in first_lines(path)]
    return names_image(starts[0].strip('"')) or starts[0].startswith('["')


def why_no_table(path: Place) -> str:
    """Why a text file is not taken for a list of crops."""
    lines, columns = first_lines(path), columns_of(path)
    if not lines:
        return "it is empty, or no text"
    start = first_line(path)[:60]
    if _BOXES.search(lines[0]):
        return "PaddleOCR's boxes in photographs; PPOCRLabel exports the crops with a rec_gt.txt"
    if columns is None:
        if names_image(lines[0].split(" ")[0]):
            return f"it starts with {start!r}, without a tab or a comma between file and label"
        return f"it starts with {start!r}, which is no list of crops"
    later = any(names_image(cell) for line in lines[1:] for cell in _cells(line, columns.delimiter))
    if later:
        return f"its first line is {start!r}, and a list needs {NAMES}"
    return f"it starts with {start!r}, which names no image file"


def _layout(name: str, kind: str, read: Callable[[Place], Iterator[Entry]], **how: object) -> Layout:
    options = ("path", "images", "allow_outside", *(("min_confidence",) if name in ("csv", "list") else ()))
    return Layout(
        name,
        partial(open_listed, name=name, kind=kind, read=read),
        surely=_surely,
        options=options,
        bounded=True,
        in_archives=True,
        **how,  # type: ignore[arg-type]
    )


EASYOCR = _layout(
    *("easyocr", "EasyOCR list", _read_easyocr),
    looks_like=_is_easyocr,
    suffixes=(".csv", ".txt"),
    sign="a first line `filename,words`",
)
MLT = _layout(
    *("mlt", "ICDAR MLT list", partial(_by_line, parse=_parse_mlt, expected="word_1.png,Latin,JOINT")),
    looks_like=_is_mlt,
    suffixes=(".txt", ".csv"),
    sign="a script, such as Latin, in the second of three columns",
)
ICDAR = _layout(
    *("icdar", "ICDAR list", partial(_by_line, parse=_parse_icdar, expected='word_1.png, "JOINT"')),
    looks_like=_is_icdar,
    suffixes=(".txt", ".csv"),
    sign='lines of word_1.png, "JOINT" with a space after the comma',
)
CSV = _layout(
    *("csv", "table", _read_table),
    looks_like=partial(_is_table, delimiters=",;"),
    suffixes=(".csv", ".txt"),
    sign="columns of a file and a label, with commas or semicolons between them",
)
TAB_LIST = _layout(
    *("list", "tab-separated list", _read_table),
    looks_like=partial(_is_table, delimiters=TAB),
    suffixes=(".txt", ".tsv", ".lst", ".csv"),
    sign="columns of a file and a label, with tabs between them",
)
