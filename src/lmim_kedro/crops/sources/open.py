"""Sources of crops: every layout that users have, opened from one line of the catalog.

    open_source("street", {"path": "data/01_raw/pretraining/street_lmdb"})
    open_source("icdar", {"path": "IC15_train", "format": "icdar", "use_labels": False})
    open_source("words", {"format": "rendered", "words": 12000, "seed": 1, "split": "pretraining"})

The formats are those of FORMATS; docs/data.md shows each.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lmim_kedro.crops.sources.detection import detect
from lmim_kedro.crops.sources.field_lmdb import open_lmdb
from lmim_kedro.crops.sources.image_files import ListedReader, open_listed
from lmim_kedro.crops.sources.source import CropReader, RawCrop, Source
from lmim_kedro.errors import InputError, did_you_mean

__all__ = ["FORMATS", "NamedSource", "RawCrop", "Source", "open_source"]

FORMATS = ("lmdb", "jsonl", "mmocr", "icdar", "list", "folder", "rendered")


@dataclass(frozen=True)
class NamedSource:
    """A reader under its catalog name, its labels left out where the catalog says so."""

    name: str
    reader: CropReader
    identity: str
    use_labels: bool = True

    def __len__(self) -> int:
        return len(self.reader)

    @property
    def format(self) -> str:
        """The layout's name."""
        return self.reader.format

    @property
    def root(self) -> Path | None:
        """The folder that the keys of image files start from; None where the keys name no files."""
        return self.reader.root if isinstance(self.reader, ListedReader) else None

    @property
    def labeled(self) -> bool:
        """Whether its crops come with labels."""
        return self.reader.labeled and self.use_labels

    @property
    def description(self) -> str:
        """One sentence: what was found where."""
        unused = self.reader.labeled and not self.use_labels
        return self.reader.description + (" (labels not used)" if unused else "")

    def only(self, start: int, stop: int) -> NamedSource:
        """Return this source for the positions `start` to `stop` alone, small enough to send to a process."""
        if isinstance(self.reader, ListedReader):
            return replace(self, reader=self.reader.only(start, stop))
        return self

    def readable(self, keys: Sequence[str]) -> bool:
        """Whether any of these crops, which were listed and could not be read, can be by now."""
        return isinstance(self.reader, ListedReader) and self.reader.readable(keys)

    def read(self, start: int, stop: int) -> Iterator[RawCrop]:
        """Yield crops `start` to `stop` (exclusive), one for each position."""
        for crop in self.reader.read(start, stop):
            if self.use_labels or crop.data is None:
                yield crop
            else:
                yield RawCrop(crop.key, crop.data)


def open_source(name: str, spec: Mapping[str, Any]) -> NamedSource:
    """Open one source of the catalog.

    Args:
        name: its name in the catalog, the manifest and the tables.
        spec: `path`; `format`, one of FORMATS (None: detected); `images`, the folder that the paths of a list start
            from, relative to the list (None: looked for); `use_labels: false` to take labeled crops without their
            labels. With `format: rendered`, the options of `RenderedWords` instead of `path` and `images`.

    Raises:
        InputError: if an option is unknown, or there is nothing readable at the path.
    """
    try:
        return _open(name, spec)
    except InputError as error:
        raise InputError(f"source {name}: {error}") from error
    except PermissionError as error:
        raise InputError(
            f"source {name}: {error.filename} cannot be read ({error.strerror}): give the rights to read it"
        ) from error


def _open(name: str, spec: Mapping[str, Any]) -> NamedSource:
    if not isinstance(spec, Mapping):
        raise InputError(f"{spec!r} is not a description of crops: write {{path: {spec}}}")
    options = dict(spec)
    use_labels, layout = options.pop("use_labels", True), options.pop("format", None)
    if not isinstance(use_labels, bool):
        raise InputError(f"use_labels = {use_labels!r} was found: true or false was expected")
    if layout is not None and layout not in FORMATS:
        raise InputError(
            f"format {layout!r} is unknown{did_you_mean(layout, FORMATS)}: choose one of {', '.join(FORMATS)}"
        )
    if layout == "rendered":
        return _rendered(name, options, use_labels)
    _refuse_unknown(options, ("path", "images"), ("path", "images", "format", "use_labels"))
    if not options.get("path"):
        raise InputError("no path was given: name the folder, list or LMDB as `path`, or set `format: rendered`")
    layout, place = detect(Path(options["path"]), layout)
    if layout == "lmdb":
        lmdb_reader = open_lmdb(place)
        return NamedSource(name, lmdb_reader, lmdb_reader.identity, use_labels)
    images = options.get("images")
    listed = open_listed(place, layout, Path(images) if images else None)
    return NamedSource(name, listed, listed.identity, use_labels)


def _rendered(name: str, options: dict[str, Any], use_labels: bool) -> NamedSource:
    from lmim_kedro.crops.sources.rendered import RenderedWords

    known = tuple(inspect.signature(RenderedWords).parameters)
    _refuse_unknown(options, known, known)
    if "words" not in options:
        raise InputError("no number of words was given: say how many to render, as `words: 8000`")
    try:
        reader = RenderedWords(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"words cannot be rendered with {options}: {error}") from error
    identity = f"rendered {json.dumps(options, sort_keys=True, default=str)} {getattr(reader, 'identity', '')}"
    return NamedSource(name, reader, identity.strip(), use_labels)


def _refuse_unknown(options: Iterable[str], known: tuple[str, ...], shown: tuple[str, ...]) -> None:
    for option in options:
        if option not in known:
            raise InputError(f"option {option!r} is unknown{did_you_mean(option, shown)}: it takes {', '.join(shown)}")
