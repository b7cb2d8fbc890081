"""Sources of crops: every layout that users have, opened from one line of the catalog (docs/data.md)."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from lmim_kedro.crops.sources.archives import Place, ZipPath, inside, is_archive
from lmim_kedro.crops.sources.folders import files_below, has_images, sorted_out
from lmim_kedro.crops.sources.icdar_xml import why_no_xml
from lmim_kedro.crops.sources.image_files import IMAGE_SUFFIXES, Budget, ListedReader, Passed, PassedOver
from lmim_kedro.crops.sources.json_lists import why_no_json
from lmim_kedro.crops.sources.source import CropReader, Layout, Source
from lmim_kedro.crops.sources.tables import why_no_table
from lmim_kedro.errors import InputError, did_you_mean
from lmim_kedro.files import require_regular
from lmim_kedro.registries import LAYOUTS

_USUAL_NAMES = (
    *("gt.txt", "annotation.jsonl", "annotation.json", "metadata.jsonl", "metadata.csv", "labels.json", "labels.csv"),
    *("rec_gt.txt", "labels.txt", "word.xml"),
)
_BESIDE = (".mat", ".xls", ".xlsx")
"""Suffixes of files that often hold labels, and that no layout reads."""
_LOOKED_THROUGH = 100_000
"""Entries of a folder among which lists are looked for."""
_JUDGED = 40
"""Lists that are looked into; more in one folder are texts beside images."""
_UNLISTED = 200_000
"""Crops of a list up to which it is compared with the images that lie there."""


class Found(NamedTuple):
    """What a path is: its layout, the file or folder to open, how it was told, and what beside it is passed over.

    `folder` is the folder in which a list was found; None where the path is what was named.
    """

    layout: Layout
    path: Place
    why: str
    passed: PassedOver
    folder: Place | None = None


def open_source(name: str, spec: Mapping[str, Any]) -> Source:
    """Open one source of the catalog.

    Args:
        name: its name in the catalog, the manifest and the tables.
        spec: `path`; `format`, a name of LAYOUTS (None: detected); `images`, the folder that the paths of a list start
            from, relative to the list (None: looked for); `min_confidence`, for lists with confidences;
            `allow_outside: true` to read also what paths of a list, or links, lead to outside that folder;
            `use_labels: false` to take labeled crops without their labels. With `format: rendered`, the options of
            `RenderedWords` instead of `path` and `images`.

    Raises:
        InputError: if an option is unknown, or there is nothing readable at the path.

    Example:
        >>> words = open_source("words", {"format": "rendered", "words": 5, "split": "heldout"})
        >>> [crop.label for crop in words.read(0, 2)]
        ['zoarruy', 'ROUL']

        A set on disk: `open_source("street", {"path": "data/street_lmdb", "use_labels": False})`.
    """
    with _named(name):
        return _open(name, spec)


def open_images(path: Path, layout: str | None = None, allow_outside: bool = False) -> Source:
    """Open a path to read its crops, whatever labels are there: a folder is all images below it.

    Args:
        path: a folder, list, LMDB, archive or file of crops.
        layout: a name of LAYOUTS; None: detected. A folder without images is opened by the list in it.
        allow_outside: read also what paths of a list, or links, lead to outside the folder of its images.

    Raises:
        InputError: as `open_source`.
    """
    with _named(str(path)):
        if layout is None and path.is_dir() and not _layout_of_folder(path, unlabeled=True) and has_images(path):
            layout = "folder"
        spec: dict[str, Any] = {"path": path} | ({"format": layout} if layout else {})
        return _open(str(path), spec | ({"allow_outside": True} if allow_outside else {}))


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Begin every InputError with the name of the source."""
    try:
        yield
    except InputError as error:
        raise InputError(f"source {name}: {error}") from error
    except PermissionError as error:
        raise InputError(
            f"source {name}: {error.filename} cannot be read ({error.strerror}): give the rights to read it"
        ) from error


def _open(name: str, spec: Mapping[str, Any]) -> Source:
    if not isinstance(spec, Mapping):
        raise InputError(f"{spec!r} is not a description of crops: write {{path: {spec}}}")
    options = dict(spec)
    use_labels, layout = options.pop("use_labels", True), options.pop("format", None)
    for option, value in (("use_labels", use_labels), ("allow_outside", options.get("allow_outside", False))):
        if not isinstance(value, bool):
            raise InputError(f"{option} = {value!r} was found: true or false was expected")
    _require_layout(layout)
    known = LAYOUTS[layout].options if layout else ("path", "images", "min_confidence", "allow_outside")
    _require_options(options, known)
    if "path" not in known:
        return Source(name, LAYOUTS[layout].open(**options), use_labels)
    if not options.get("path"):
        raise InputError("no path was given: name the folder, list or LMDB as `path`, or set `format: rendered`")
    found = detect(Path(options.pop("path")), layout)
    options = {option: value for option, value in options.items() if value is not None}
    if options.get("allow_outside") is False:  # as it is without the option, which not every layout has
        del options["allow_outside"]
    _require_options(options, found.layout.options, f" for the layout {found.layout.name}")
    return open_found(name, found, use_labels=use_labels, **options)


def open_found(
    name: str, found: Found, use_labels: bool = True, budget: Budget | None = None, **options: Any
) -> Source:
    """Open what `detect` found.

    Args:
        name: the name of the source.
        found: layout and path.
        use_labels: whether labels are taken.
        budget: how long listing may take, where the layout is bounded; None: as long as it needs.
        options: more options of the layout.
    """
    layout = found.layout
    if "images" in layout.options:
        options["images"] = Path(options["images"]) if options.get("images") else None
    sure = options.get("min_confidence")
    if sure is not None and (isinstance(sure, bool) or not isinstance(sure, int | float)):
        raise InputError(f"min_confidence = {sure!r} was found: a number of 0 to 1 was expected")
    reader: CropReader = layout.open(
        path=found.path, **options, **({"budget": budget} if budget and layout.bounded else {})
    )
    if isinstance(reader, ListedReader) and found.folder is not None:
        if budget is not None and budget.spent:
            rest = "lists with more crops than were looked at: other files of the folder are not looked for"
            found.passed.add(Passed(found.path.name, rest))
        elif len(reader) <= _UNLISTED:
            _note_unlisted(reader, found)
        else:
            long = f"lists of more than {_UNLISTED:,} crops: other files of the folder are not looked for"
            found.passed.add(Passed(found.path.name, long))
    return Source(name, reader, use_labels, str(found.passed))


def _note_unlisted(reader: ListedReader, found: Found) -> None:
    """Note what lies in the folder in which a list was found, and is not on the list."""
    if not f"{reader.root}/".startswith(f"{found.folder}/"):
        return
    listed, known = set(reader.entries["file"].to_pylist()), {found.path.name, *found.passed.named}
    for one in islice(sorted_out(reader.root, outside=reader.allow_outside), 3 * _UNLISTED):
        if isinstance(one, Passed):
            if one.file not in known:
                found.passed.add(one)
        elif one not in listed:
            found.passed.add(Passed(one, f"images that {found.path.name} does not list"))


def _require_layout(layout: object) -> None:
    if layout is not None and layout not in LAYOUTS:
        raise InputError(
            f"format {layout!r} is unknown{did_you_mean(layout, LAYOUTS)}: choose one of {', '.join(LAYOUTS)}"
        )


def _require_options(options: Mapping[str, Any], known: tuple[str, ...], where: str = "") -> None:
    shown = (*known, "format", "use_labels")
    for option in options:
        if option not in known:
            raise InputError(
                f"option {option!r} is unknown{where}{did_you_mean(option, shown)}: it takes {', '.join(shown)}"
            )


def detect(path: Path, layout: str | None = None) -> Found:
    """Return the layout of a path, and the file or folder to open.

    Args:
        path: what the catalog names: a folder, a list, a data.mdb, a zip archive, or a pattern such as `train-*.tar`.
        layout: the layout that the catalog names, if it does; then only the place is looked for.

    Raises:
        InputError: if the path is not there, is empty, or may be several things.

    Example:
        >>> from pathlib import Path
        >>> detect(Path("."), "folder").layout.name
        'folder'
    """
    _require_layout(layout)
    named: Layout | None = LAYOUTS[layout] if layout else None
    if not path.exists():
        return _pattern(path, named)
    require_regular(path)
    if path.name == "data.mdb":
        path = path.parent
    if is_archive(path) and (named is None or named.in_archives):
        place: Place = inside(path)
        if isinstance(place, ZipPath) and (place / "data.mdb").is_file():
            raise InputError(f"{path} holds an LMDB, which is read by mapping it into memory: unpack it first")
    else:
        place = path
    if named is not None and not (named.suffixes and place.is_dir()):
        return Found(named, place, "as it was named", PassedOver())
    if place.is_file():
        found, why = judge(place)
        if found is None:
            raise InputError(
                f'{path} is no list of crops: {why}. path<TAB>label, word_1.png, "JOINT", a first line such as '
                'filename,text, or {"filename": ..., "text": ...} was expected'
            )
        return Found(found, place, found.sign, PassedOver())
    return _detect_in(place, named)


def _pattern(path: Path, named: Layout | None) -> Found:
    """What a path that is not there means: files that match it, or a mistake."""
    if "*" in path.name and any(path.parent.glob(path.name)):
        for name in LAYOUTS:
            layout: Layout = LAYOUTS[name]
            if layout.holds_images and (named or layout) is layout and layout.looks_like(path):
                return Found(layout, path, f"files that match {path.name}", PassedOver())
        raise InputError(
            f"{path} matches files, and several are read at once only as .parquet or .tar: name each alone"
        )
    raise InputError(f"there is nothing at {path}{_nearest(path)}: check the path, or link the data there")


def _detect_in(place: Place, named: Layout | None) -> Found:
    """Find what a folder is. Errors: InputError if it is several things, or holds nothing of the named layout."""
    passed = PassedOver()
    if named is None and (layout := _layout_of_folder(place)) is not None:
        return Found(layout, place, layout.sign, passed)
    lists = _lists_in(place, named, passed)
    if lists:
        usual = [one for name in _USUAL_NAMES for one in lists if one[1].name == name]
        if not usual and len(lists) > 1:
            names = ", ".join(file.name for _, file in lists[:6])
            raise InputError(
                f"{place} holds {len(lists)} lists of crops ({names}): name the file instead of the folder, one source "
                "for each, or read all images without labels with the format folder"
            )
        layout, file = (usual or lists)[0]
        for _, other in lists:
            if other is not file:
                passed.add(Passed(other.name, f"lists of crops beside {file.name}, which is taken"))
        return Found(named or layout, file, f"in {file.name}: {layout.sign}", passed, place)
    if named is not None:
        raise InputError(f"{place} holds no list of crops in the layout {named.name}: name the list itself as the path")
    # A folder one level too high: a walk for images would pass its LMDBs by.
    if isinstance(place, Path) and (sets := sorted(data.parent.name for data in place.glob("*/data.mdb"))):
        raise InputError(
            f"{place} holds {len(sets)} LMDBs ({', '.join(sets[:6])}): name each as a source of its own, "
            f"with the path {place / sets[0]} and so on"
        )
    for below in _lists_below(place):
        passed.add(Passed(below, "lists of crops in folders below, each of which can be a source of its own"))
    return Found(LAYOUTS["folder"], place, LAYOUTS["folder"].sign, passed)


def _layout_of_folder(place: Place, unlabeled: bool = False) -> Layout | None:
    """The first layout of whole folders that a folder looks like; `unlabeled`: of those whose files hold the images."""
    for name in LAYOUTS:
        layout: Layout = LAYOUTS[name]
        asked = not layout.suffixes and (layout.in_archives or isinstance(place, Path))
        if asked and not (unlabeled and layout.in_archives) and layout.looks_like(place):
            return layout
    return None


def judge(file: Place) -> tuple[Layout | None, str]:
    """The layout of a file and what it was recognized by, or None and why it is no list of crops."""
    for name in LAYOUTS:
        layout: Layout = LAYOUTS[name]
        if (layout.in_archives or isinstance(file, Path)) and layout.looks_like(file):
            return layout, layout.sign
    return None, _why_none(file)


def _why_none(file: Place) -> str:
    suffix = file.suffix.lower()
    if suffix in (".json", ".jsonl"):
        return why_no_json(file)
    return why_no_xml(file) if suffix == ".xml" else why_no_table(file)


def list_suffixes() -> tuple[str, ...]:
    """Suffixes of the files that may be lists of crops or hold crops, of all layouts; archives too."""
    found = (suffix for name in LAYOUTS for suffix in (*LAYOUTS[name].suffixes, *LAYOUTS[name].holds_images))
    return (*dict.fromkeys(found), ".zip")


def _lists_in(folder: Place, named: Layout | None, passed: PassedOver) -> list[tuple[Layout, Place]]:
    """The lists of crops that lie in a folder, by name; what looks like one and is none is noted."""
    suffixes = named.suffixes if named else tuple(s for name in LAYOUTS for s in LAYOUTS[name].suffixes)
    entries: Iterator[Any] = folder.iterdir()
    names = [str(entry.name) for entry in islice(entries, _LOOKED_THROUGH)]
    usual = [name for name in _USUAL_NAMES if name.endswith(suffixes) and (folder / name).is_file()]
    stems = {os.path.splitext(name)[0] for name in names if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES}
    others = sorted(
        name
        for name in names
        if os.path.splitext(name)[1].lower() in suffixes
        and name not in usual
        and os.path.splitext(name)[0] not in stems
    )
    if named is not None:
        fitting = [name for name in [*usual, *others[:_JUDGED]] if _fits(folder / name, named)]
        return [(named, folder / name) for name in fitting or usual[:1]]
    found: list[tuple[Layout, Place]] = []
    for name in [*usual, *others[:_JUDGED]]:
        file = folder / name
        if not file.is_file():
            continue
        layout, why = _judge_in_folder(file)
        if layout is not None:
            found.append((layout, file))
        else:
            passed.add(Passed(name, f"files that are no list of crops: {why}"))
    for name in others[_JUDGED:]:
        passed.add(Passed(name, "files that were not looked into"))
    for name in names:
        if name.lower().endswith(_BESIDE):
            passed.add(Passed(name, f"{os.path.splitext(name)[1]} files, which no layout reads: write a CSV from them"))
    return sorted(found, key=lambda one: one[1].name)


def _fits(file: Place, named: Layout) -> bool:
    """Whether a file in a folder is a list of the layout that was named."""
    try:
        return file.is_file() and named.looks_like(file) and named.surely(file)
    except (InputError, OSError):
        return False


def _judge_in_folder(file: Place) -> tuple[Layout | None, str]:
    """The layout of a file that was found in a folder, where it must be more than a text with commas."""
    try:
        layout, why = judge(file)
    except (InputError, OSError) as error:
        return None, str(error)
    if layout is None:
        return None, why
    if not layout.suffixes:
        return None, f"{layout.name}, a source of its own"
    return (layout, why) if layout.surely(file) else (None, _why_none(file))


def _lists_below(folder: Place) -> list[str]:
    """Lists that lie deeper in a folder, looked for in its first few folders by their usual names."""
    found = []
    for below, names in islice(files_below(folder), 1, 200):
        found += [
            f"{below}/{name}" for name in _USUAL_NAMES if name in names and _judge_in_folder(folder / below / name)[0]
        ]
    return found


def _nearest(path: Path) -> str:
    """Say how far the path exists, and what is there instead."""
    parent = next(folder for folder in path.parents if folder.exists())
    if not parent.is_dir():
        return f" ({parent} is a file)"
    names = sorted(entry.name for entry in islice(parent.iterdir(), 1000))[:6]
    return f" ({parent} holds {', '.join(names) or 'nothing'})"
