"""Lists and folders of image files as the field ships them: one entry for every line, readable or not.

Each is a Layout, and an entry of registries.LAYOUTS. So are field_lmdb.LAYOUT and rendered.LAYOUT.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from lmim_kedro.crops.sources.image_files import IMAGE_SUFFIXES, Entry, open_listed
from lmim_kedro.crops.sources.source import Layout
from lmim_kedro.errors import InputError

_NOT_UTF8 = re.compile("[\ud800-\udfff]")
"""Halves of characters, which JSON and file systems may hold and UTF-8 may not."""


def _read_lines(path: Path, *, parse: Callable[[str], Entry | None], expected: str) -> Iterator[Entry]:
    """Yield an entry for each line that is not blank; a line that `parse` does not know becomes a fault.

    Raises:
        InputError: at the end, if `parse` knew none of the lines.
    """
    known, example = 0, ""
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            raw = raw.rstrip(b"\r\n")
            if not raw.strip():
                continue
            text = raw.decode("utf-8", "replace")
            entry = parse(text)
            if entry is None:
                example = example or repr(text[:80])
                yield Entry(f"line {number}", None, "bad line: expected " + expected)
                continue
            known += 1
            yield entry if text.encode() == raw else Entry(entry.file, None, "label not UTF-8")
    if not known:
        raise InputError(f"no line of {path} could be read: {expected} were expected, {example or 'nothing'} was found")


def _parse_jsonl(line: str) -> Entry | None:
    """Union14M-L's and mmocr 0.x's annotation: {"filename": ..., "text": ...}."""
    try:
        record = json.loads(line)
        return _checked(record["filename"], record["text"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _parse_icdar(line: str) -> Entry | None:
    """ICDAR's gt.txt: `word_1.png, "JOINT"`; the label may hold commas, quotes and escaped quotes."""
    file, comma, label = line.partition(",")
    if not comma:
        return None
    label = label.strip()
    if len(label) >= 2 and label[0] == label[-1] == '"':
        label = re.sub(r'\\(["\\])', r"\1", label[1:-1])
    return _checked(file.strip(), label)


def _parse_tab(line: str) -> Entry | None:
    """The input of the usual create_lmdb scripts: `path<TAB>label`; the label may hold spaces."""
    file, tab, label = line.partition("\t")
    return _checked(file.strip(), label) if tab else None


def _read_mmocr(path: Path) -> Iterator[Entry]:
    """The annotation of mmocr 1.x: {"data_list": [{"img_path": ..., "instances": [{"text": ...}]}]}."""
    try:
        records = json.loads(path.read_bytes())["data_list"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f'{path} is not an mmocr annotation ({error!r}): {{"metainfo": ..., "data_list": [...]}} was expected'
        ) from error
    for number, record in enumerate(records, 1):
        try:
            file, texts = record["img_path"], [instance["text"] for instance in record.get("instances", [])]
            if len(texts) == 1:
                yield _checked(file, texts[0])
            else:
                yield Entry(file, None, f"{len(texts)} labels for one crop" if texts else "no label")
        except (KeyError, TypeError, AttributeError):
            yield Entry(f"entry {number}", None, "bad line: expected img_path and instances with a text")


def _read_folder(path: Path) -> Iterator[Entry]:
    """All image files below `path`, in the order of their names; links to folders are followed once.

    Errors: InputError for a folder that may not be read.
    """

    def refuse(error: OSError) -> None:
        raise InputError(
            f"the folder {error.filename} cannot be read ({error.strerror}): give the rights to read it, or take it "
            "out of the source"
        ) from error

    seen = set()
    for folder, subfolders, files in os.walk(path, followlinks=True, onerror=refuse):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders.sort()
        for name in sorted(files):
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
                yield _checked(Path(folder, name).relative_to(path).as_posix(), None)


def _checked(file: str, label: str | None) -> Entry:
    """Return the entry with forward slashes, and with a fault if its label is no text that UTF-8 can hold."""
    file = PurePosixPath(file.replace("\\", "/")).as_posix()
    if not isinstance(label, str | None):
        raise TypeError("a label is text")
    if _NOT_UTF8.search(file):
        return Entry(file.encode("utf-8", "backslashreplace").decode(), None, "bad line: file name not UTF-8")
    if label is not None and _NOT_UTF8.search(label):
        return Entry(file, None, "label not UTF-8")
    return Entry(file, label)


def first_line(file: Path) -> str:
    """The first line of a file that is not blank, without a byte order mark; empty where there is none."""
    with file.open("rb") as lines:
        for raw in lines:
            line = raw.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                return line.strip(b" \r\n").decode("utf-8", errors="replace")  # a tab before no label stays
    return ""


def _is_jsonl(path: Path) -> bool:
    return path.suffix == ".jsonl" or (path.suffix != ".json" and first_line(path).startswith("{"))


def _is_icdar(path: Path) -> bool:
    return "," in (line := first_line(path)) and "\t" not in line


def _names_image(separator: str, path: Path) -> bool:
    """Tell whether the first line of a list begins with an image file."""
    return Path(first_line(path).partition(separator)[0].strip()).suffix.lower() in IMAGE_SUFFIXES


def _files(name: str, kind: str, read: Callable[[Path], Iterator[Entry]], **how: Any) -> Layout:
    return Layout(name, partial(open_listed, name=name, kind=kind, read=read), **how)


def _lines(name: str, kind: str, parse: Callable[[str], Entry | None], expected: str, **how: Any) -> Layout:
    return _files(name, kind, partial(_read_lines, parse=parse, expected=f"lines of {expected}"), **how)


JSONL = _lines(
    *("jsonl", "jsonl list", _parse_jsonl, '{"filename": ..., "text": ...}'),
    looks_like=_is_jsonl,
    suffixes=(".jsonl",),
)
MMOCR = _files(
    *("mmocr", "mmocr annotation", _read_mmocr),
    looks_like=lambda path: path.suffix == ".json",
    suffixes=(".json",),
)
ICDAR = _lines(
    *("icdar", "ICDAR list", _parse_icdar, 'word_1.png, "JOINT"'),
    looks_like=_is_icdar,
    suffixes=(".txt", ".tsv"),
    surely=partial(_names_image, ","),
)
TAB_LIST = _lines(
    *("list", "tab-separated list", _parse_tab, "path<TAB>label"),
    looks_like=lambda path: "\t" in first_line(path),
    suffixes=(".txt", ".tsv"),
    surely=partial(_names_image, "\t"),
)
FOLDER = _files("folder", "folder", _read_folder)
