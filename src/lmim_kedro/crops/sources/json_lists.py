"""Lists of crops in JSON: a record a line, one object for all, or mmocr's annotation."""

import json
import os
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from lmim_kedro.crops.sources.archives import Place
from lmim_kedro.crops.sources.image_files import Entry, open_listed
from lmim_kedro.crops.sources.records import (
    NAMES,
    checked,
    entry_of,
    first_line,
    first_lines,
    lines_of,
    names_image,
)
from lmim_kedro.crops.sources.source import Layout
from lmim_kedro.errors import InputError
from lmim_kedro.files import json_of, parse_json


def _read_jsonl(path: Place) -> Iterator[Entry]:
    """A record a line: Union14M-L's and mmocr 0.x's annotation, Hugging Face's metadata.jsonl, our own readings."""
    known = 0
    for number, line in lines_of(path):
        entry = _parse(line)
        known += entry is not None
        yield entry or Entry(f"line {number}", None, 'bad line: expected lines of {"filename": ..., "text": ...}')
    if not known:
        raise InputError(
            f'no line of {path} could be read: lines of {{"filename": ..., "text": ...}} were expected, '
            f"{first_line(path)[:80]!r} was found; a record has {NAMES}"
        )


def _parse(line: str) -> Entry | None:
    try:
        return entry_of(parse_json(line))
    except (ValueError, TypeError):
        return None


def _read_mmocr(path: Place) -> Iterator[Entry]:
    """The annotation of mmocr 1.x: {"data_list": [{"img_path": ..., "instances": [{"text": ...}]}]}."""
    content = json_of(path)
    records = content.get("data_list") if isinstance(content, dict) else None
    if not isinstance(records, list):
        raise InputError(f'{path} is not an mmocr annotation: {{"metainfo": ..., "data_list": [...]}} was expected')
    for number, record in enumerate(records, 1):
        try:
            file, texts = record["img_path"], [instance["text"] for instance in record.get("instances", [])]
            if len(texts) == 1:
                yield checked(file, texts[0])
            else:
                yield checked(file, None, f"{len(texts)} labels for one crop" if texts else "no label")
        except (KeyError, TypeError, AttributeError):
            yield Entry(f"entry {number}", None, "bad line: expected img_path and instances with a text")


def _read_object(path: Place) -> Iterator[Entry]:
    """DocTR's labels.json, {"a.png": "door"}, or a list of records."""
    content = json_of(path)
    if isinstance(content, dict):
        for file, label in content.items():
            if label is None or isinstance(label, str):
                yield checked(file, label, None if label is not None else "no label")
            else:
                yield checked(file, None, f"bad label: {json.dumps(label)[:40]}, and text was expected")
    elif isinstance(content, list):
        for place, record in enumerate(content, 1):
            entry = entry_of(record)
            yield entry or Entry(f"entry {place}", None, f"bad line: expected {NAMES}")
    else:
        raise InputError(
            f'{path} is no list of crops: {{"a.png": "door"}} or [{{"filename": ..., "text": ...}}] was expected'
        )


def what_is(path: Place) -> str | None:
    """Which list a JSON file is: "jsonl", "mmocr" or "json"; None where it is no list of crops."""
    stat = os.stat(path) if isinstance(path, Path) else None  # an archive's members are cached by their archive
    return _what_is(path, *(() if stat is None else (stat.st_mtime_ns, stat.st_size)))


@lru_cache(maxsize=16)
def _what_is(path: Place, *version: int) -> str | None:
    """Look once at each version of a file, which may be large: each layout of JSON asks."""
    lines = first_lines(path)
    start = lines[0].lstrip() if lines else ""
    if start[:1] not in ("{", "["):
        return None
    if _parse(start) is not None and len(lines) >= 1 and start.startswith("{"):
        return "jsonl"
    if path.suffix == ".jsonl":
        return "jsonl" if any(_parse(line) for line in lines) else None
    try:
        content = json_of(path)
    except InputError:
        return None
    if isinstance(content, list):
        return "json" if any(entry_of(record) for record in content[:50]) else None
    if isinstance(content.get("data_list"), list) and "metainfo" in content:
        return (
            "mmocr"
            if any(isinstance(record, dict) and "img_path" in record for record in content["data_list"][:50])
            else None
        )
    first = list(content.items())[:50]
    named = sum(names_image(name) and isinstance(label, str | None) for name, label in first)
    return "json" if first and named * 2 > len(first) else None


def why_no_json(path: Place) -> str:
    """Why a JSON file is not taken for a list of crops."""
    if path.suffix == ".jsonl":
        line = first_line(path)
        try:
            names = ", ".join(parse_json(line)) or "none"
        except (ValueError, TypeError):
            return f"it starts with {line[:60]!r}, which is no record"
        return f"its records have the fields {names[:100]}, and a list needs {NAMES}"
    try:
        content: Any = json_of(path)
    except InputError:
        return "it is no JSON that can be read"
    if isinstance(content, dict) and {"shapes", "imagePath"} <= content.keys():
        return "labelme's shapes in a photograph"
    if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
        return "COCO's boxes in photographs: cut the crops first"
    if isinstance(content, dict) and any(isinstance(value, dict) and "polygons" in value for value in content.values()):
        return "docTR's boxes in photographs: cut the crops first"
    return "it holds no files with labels"


def _layout(
    name: str, kind: str, read: Callable[[Place], Iterator[Entry]], options: tuple[str, ...], **how: Any
) -> Layout:
    return Layout(
        name,
        partial(open_listed, name=name, kind=kind, read=read),
        looks_like=lambda path: what_is(path) == name,
        options=options,
        bounded=True,
        in_archives=True,
        **how,
    )


JSONL = _layout(
    *("jsonl", "jsonl list", _read_jsonl, ("path", "images", "min_confidence", "allow_outside")),
    suffixes=(".jsonl", ".json", ".txt"),
    sign='lines of {"filename": ..., "text": ...}',
)
MMOCR = _layout(
    *("mmocr", "mmocr annotation", _read_mmocr, ("path", "images", "allow_outside")),
    suffixes=(".json",),
    sign="`metainfo` and `data_list` with `img_path`",
)
JSON = _layout(
    *("json", "JSON list", _read_object, ("path", "images", "min_confidence", "allow_outside")),
    suffixes=(".json",),
    sign='one object {"a.png": "door"}, or a list of records',
)
