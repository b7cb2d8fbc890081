"""Sources of crops: every layout that users have, opened from one line of the catalog (docs/data.md)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmim_kedro.crops.sources.layouts import first_line
from lmim_kedro.crops.sources.source import Layout, Source
from lmim_kedro.errors import InputError, did_you_mean
from lmim_kedro.registries import LAYOUTS

_USUAL_NAMES = ("gt.txt", "annotation.jsonl", "annotation.json")


def open_source(name: str, spec: Mapping[str, Any]) -> Source:
    """Open one source of the catalog.

    Args:
        name: its name in the catalog, the manifest and the tables.
        spec: `path`; `format`, a name of LAYOUTS (None: detected); `images`, the folder that the paths of a list start
            from, relative to the list (None: looked for); `use_labels: false` to take labeled crops without their
            labels. With `format: rendered`, the options of `RenderedWords` instead of `path` and `images`.

    Raises:
        InputError: if an option is unknown, or there is nothing readable at the path.

    Example:
        >>> words = open_source("words", {"format": "rendered", "words": 5, "split": "heldout"})
        >>> [crop.label for crop in words.read(0, 2)]
        ['zoarruy', 'ROUL']

        A set on disk: `open_source("street", {"path": "data/street_lmdb", "use_labels": False})`.
    """
    try:
        return _open(name, spec)
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
    if not isinstance(use_labels, bool):
        raise InputError(f"use_labels = {use_labels!r} was found: true or false was expected")
    if layout is not None and layout not in LAYOUTS:
        raise InputError(
            f"format {layout!r} is unknown{did_you_mean(layout, LAYOUTS)}: choose one of {', '.join(LAYOUTS)}"
        )
    found: Layout = LAYOUTS[layout or "folder"]
    shown = (*found.options, "format", "use_labels")
    for option in options:
        if option not in found.options:
            raise InputError(f"option {option!r} is unknown{did_you_mean(option, shown)}: it takes {', '.join(shown)}")
    if "path" in found.options:
        if not options.get("path"):
            raise InputError("no path was given: name the folder, list or LMDB as `path`, or set `format: rendered`")
        found, options["path"] = detect(Path(options["path"]), layout)
    if "images" in found.options:
        options["images"] = Path(options["images"]) if options.get("images") else None
    return Source(name, found.open(**options), use_labels)


def detect(path: Path, layout: str | None = None) -> tuple[Layout, Path]:
    """Return the layout of a path and the file or folder to open.

    Args:
        path: what the catalog names: a folder, a list or a data.mdb.
        layout: the layout that the catalog names, if it does; then only the place is looked for.

    Raises:
        InputError: if the path is not there, is empty, or may be several things.

    Example:
        >>> from pathlib import Path
        >>> detect(Path("."), "folder")[0].name
        'folder'
    """
    if not path.exists():
        raise InputError(f"there is nothing at {path}{_nearest(path)}: check the path, or link the data there")
    named: Layout | None = LAYOUTS[layout] if layout else None
    if path.name == "data.mdb":
        path = path.parent
    if path.is_file():
        return named or _layout_of(path), path
    if named is None:
        for folders in map(LAYOUTS.__getitem__, LAYOUTS):
            if not folders.suffixes and folders.looks_like(path):
                return folders, path
    elif not named.suffixes:
        return named, path
    found = _list_in(path, named.suffixes if named else list_suffixes())
    if found is not None:
        return named or _layout_of(found), found
    if named is not None:
        raise InputError(f"{path} holds no list of crops in the layout {layout}: name the list itself as the path")
    # A folder one level too high: a walk for images would pass its LMDBs by.
    if sets := sorted(data.parent.name for data in path.glob("*/data.mdb")):
        raise InputError(
            f"{path} holds {len(sets)} LMDBs ({', '.join(sets[:6])}): name each as a source of its own, "
            f"with the path {path / sets[0]} and so on"
        )
    return LAYOUTS["folder"], path


def list_suffixes() -> tuple[str, ...]:
    """Suffixes of the files that may be lists of crops, of all layouts."""
    return tuple(suffix for name in LAYOUTS for suffix in LAYOUTS[name].suffixes)


def _list_in(folder: Path, suffixes: tuple[str, ...]) -> Path | None:
    """Return the one list of `folder`: by its usual name, else the only file that looks like one."""
    for name in _USUAL_NAMES:
        if name.endswith(suffixes) and (folder / name).is_file():
            return folder / name
    lists = sorted(file for file in folder.iterdir() if file.suffix in suffixes and _is_list(file))
    if len(lists) > 1:
        names = ", ".join(file.name for file in lists[:6])
        raise InputError(
            f"{folder} holds {len(lists)} lists of crops ({names}): "
            "name the file instead of the folder, one source for each"
        )
    return lists[0] if lists else None


def _is_list(file: Path) -> bool:
    """Tell a list of crops from a README.txt."""
    try:
        return _layout_of(file).surely(file)
    except InputError:
        return False


def _layout_of(file: Path) -> Layout:
    for name in LAYOUTS:
        if LAYOUTS[name].looks_like(file):
            return LAYOUTS[name]
    raise InputError(
        f'{file} starts with {first_line(file)[:60]!r}, which is no list of crops: path<TAB>label, word_1.png, "JOINT" '
        'or {"filename": ..., "text": ...} was expected'
    )


def _nearest(path: Path) -> str:
    """Say how far the path exists, and what is there instead."""
    parent = next(folder for folder in path.parents if folder.exists())
    if not parent.is_dir():
        return f" ({parent} is a file)"
    names = sorted(entry.name for entry in parent.iterdir())[:6]
    return f" ({parent} holds {', '.join(names) or 'nothing'})"
