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


def _read_jsonl(path: Path) -> Iterator[Entry]:
    """Union14M-L's and mmocr 0.x's annotation: one {"filename": ..., "text": ...} a line."""
    return _by_line(path, _jsonl_entry, 'lines of {"filename": ..., "text": ...}')


def _read_icdar(path: Path) -> Iterator[Entry]:
    """ICDAR's gt.txt: `word_1.png, "JOINT"`; the label may hold commas, quotes and escaped quotes."""
    return _by_line(path, _icdar_entry, 'lines of word_1.png, "JOINT"')


def _read_tab_list(path: Path) -> Iterator[Entry]:
    """The input of the usual create_lmdb scripts: `path<TAB>label`; the label may hold spaces."""
    return _by_line(path, _tab_entry, "lines of path<TAB>label")


def _read_mmocr(path: Path) -> Iterator[Entry]:
    """The annotation of mmocr 1.x: {"data_list": [{"img_path": ..., "instances": [{"text": ...}]}]}."""
    try:
        records = json.loads(path.read_bytes())["data_list"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f'{path} is not an mmocr annotation ({error!r}): {{"metainfo": ..., "data_list": [...]}} was expected'
        ) from error
    for number, record in enumerate(records, 1):
        yield _mmocr_entry(number, record)


def _read_folder(path: Path) -> Iterator[Entry]:
    """All image files below `path`, in the order of their names; links to folders are followed once.

    Errors: InputError for a folder that may not be read.
    """
    seen = set()

    def refuse(error: OSError) -> None:
        raise InputError(
            f"the folder {error.filename} cannot be read ({error.strerror}): give the rights to read it, or take it "
            "out of the source"
        ) from error

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


def _by_line(path: Path, parse: Callable[[str], Entry | None], expected: str) -> Iterator[Entry]:
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
            text, fault = _decode(raw)
            entry = parse(text)
            if entry is None:
                example = example or repr(text[:80])
                yield Entry(f"line {number}", None, "bad line: expected " + expected)
                continue
            known += 1
            yield Entry(entry.file, None, fault) if fault else entry
    if not known:
        raise InputError(f"no line of {path} could be read: {expected} were expected, {example or 'nothing'} was found")


def _decode(raw: bytes) -> tuple[str, str | None]:
    try:
        return raw.decode("utf-8"), None
    except UnicodeDecodeError:
        return raw.decode("utf-8", errors="replace"), "label not UTF-8"


def _jsonl_entry(line: str) -> Entry | None:
    try:
        record = json.loads(line)
        return _checked(record["filename"], record["text"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _icdar_entry(line: str) -> Entry | None:
    file, comma, label = line.partition(",")
    if not comma:
        return None
    label = label.strip()
    if len(label) >= 2 and label[0] == label[-1] == '"':
        label = re.sub(r'\\(["\\])', r"\1", label[1:-1])
    return _checked(file.strip(), label)


def _tab_entry(line: str) -> Entry | None:
    file, tab, label = line.partition("\t")
    return _checked(file.strip(), label) if tab else None


def _mmocr_entry(number: int, record: Any) -> Entry:
    try:
        file, texts = record["img_path"], [instance["text"] for instance in record.get("instances", [])]
        if len(texts) == 1:
            return _checked(file, texts[0])
        return Entry(file, None, f"{len(texts)} labels for one crop" if texts else "no label")
    except (KeyError, TypeError, AttributeError):
        return Entry(f"entry {number}", None, "bad line: expected img_path and instances with a text")


def _checked(file: str, label: str | None) -> Entry:
    """Return the entry with forward slashes, and with a fault if its label is no text that UTF-8 can hold."""
    file = PurePosixPath(file.replace("\\", "/")).as_posix()
    if not isinstance(label, str | None):
        raise TypeError("a label is text")
    if not _encodable(file):
        return Entry(file.encode("utf-8", "backslashreplace").decode(), None, "bad line: file name not UTF-8")
    if label is not None and not _encodable(label):
        return Entry(file, None, "label not UTF-8")
    return Entry(file, label)


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def first_line(file: Path) -> str:
    """The first line of a file that is not blank, without a byte order mark; empty where there is none."""
    with file.open("rb") as lines:
        for raw in lines:
            line = raw.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                return line.strip(b" \r\n").decode("utf-8", errors="replace")  # a tab before no label stays
    return ""


def _listed(name: str, kind: str, read: Callable[[Path], Iterator[Entry]], **how: Any) -> Layout:
    return Layout(name, partial(open_listed, name=name, kind=kind, read=read), **how)


def _text_list(name: str, kind: str, read: Callable[[Path], Iterator[Entry]], separator: str, without: str) -> Layout:
    """A layout of lines that name a file, then the separator; a line with `without` is of another layout."""

    def looks_like(path: Path) -> bool:
        return separator in (line := first_line(path)) and without not in line

    def surely(path: Path) -> bool:
        return Path(first_line(path).partition(separator)[0].strip()).suffix.lower() in IMAGE_SUFFIXES

    return _listed(name, kind, read, looks_like=looks_like, suffixes=(".txt", ".tsv"), surely=surely)


def _is_jsonl(path: Path) -> bool:
    return path.suffix == ".jsonl" or (path.suffix != ".json" and first_line(path).startswith("{"))


def _is_json(path: Path) -> bool:
    return path.suffix == ".json"


JSONL = _listed("jsonl", "jsonl list", _read_jsonl, looks_like=_is_jsonl, suffixes=(".jsonl",))
MMOCR = _listed("mmocr", "mmocr annotation", _read_mmocr, looks_like=_is_json, suffixes=(".json",))
ICDAR = _text_list("icdar", "ICDAR list", _read_icdar, ",", without="\t")
TAB_LIST = _text_list("list", "tab-separated list", _read_tab_list, "\t", without="\n")
FOLDER = _listed("folder", "folder", _read_folder)
