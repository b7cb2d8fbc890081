"""Which layout a path holds, where the catalog does not say."""

from __future__ import annotations

from pathlib import Path

from lmim_kedro.crops.sources.layouts import IMAGE_SUFFIXES
from lmim_kedro.errors import InputError

_LIST_NAMES = ("gt.txt", "annotation.jsonl", "annotation.json")
_LMDB_MAGIC = (0xBEEFC0DE).to_bytes(4, "little")
_LIST_SUFFIXES = (".txt", ".tsv", ".jsonl", ".json")


def detect(path: Path, layout: str | None = None) -> tuple[str, Path]:
    """Return the layout of `path` and the file or folder that it is to be opened at.

    Args:
        path: what the catalog names: a folder, a list or a data.mdb.
        layout: the layout that the catalog names, if it does; then only the place is looked for.

    Raises:
        InputError: if the path is not there, is empty, or may be several things.
    """
    if not path.exists():
        raise InputError(f"there is nothing at {path}{_nearest(path)}: check the path, or link the data there")
    if path.name == "data.mdb":
        return layout or "lmdb", path.parent
    if path.is_file():
        return layout or _layout_of_list(path), path
    if layout in ("lmdb", "folder"):
        return layout, path
    if layout is None and (path / "data.mdb").is_file():
        return "lmdb", path
    found = _list_in(path, layout)
    if found is not None:
        return layout or _layout_of_list(found), found
    if layout is not None:
        raise InputError(f"{path} holds no list of crops in the layout {layout}: name the list itself as the path")
    _refuse_folder_of_sets(path)
    return "folder", path


def _list_in(folder: Path, layout: str | None) -> Path | None:
    """Return the one list of `folder`: by its usual name, else the only file that looks like one."""
    fits = {"jsonl": (".jsonl",), "mmocr": (".json",)}.get(layout or "", _LIST_SUFFIXES)
    for name in _LIST_NAMES:
        if (folder / name).is_file() and name.endswith(fits):
            return folder / name
    lists = sorted(file for file in folder.iterdir() if file.suffix in fits and _is_list(file))
    if len(lists) > 1:
        names = ", ".join(file.name for file in lists[:6])
        raise InputError(
            f"{folder} holds {len(lists)} lists of crops ({names}): "
            "name the file instead of the folder, one source for each"
        )
    return lists[0] if lists else None


def _is_list(file: Path) -> bool:
    """Tell a list of crops from a README.txt: the file that its first line names must look like an image."""
    try:
        layout = _layout_of_list(file)
    except InputError:
        return False
    if layout in ("jsonl", "mmocr"):
        return True
    name = _first_line(file).partition("\t" if layout == "list" else ",")[0].strip()
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _layout_of_list(file: Path) -> str:
    if file.suffix == ".jsonl":
        return "jsonl"
    if file.suffix == ".json":
        return "mmocr"
    with file.open("rb") as start:
        if start.read(20)[16:] == _LMDB_MAGIC:
            raise InputError(f"{file} is an LMDB in a file of its own: move it into a folder, as data.mdb")
    line = _first_line(file)
    if line.startswith("{"):
        return "jsonl"
    if "\t" in line:
        return "list"
    if "," in line:
        return "icdar"
    raise InputError(
        f'{file} starts with {line[:60]!r}, which is no list of crops: path<TAB>label, word_1.png, "JOINT" or '
        '{"filename": ..., "text": ...} was expected'
    )


def _first_line(file: Path) -> str:
    with file.open("rb") as lines:
        for raw in lines:
            line = raw.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                return line.strip(b" \r\n").decode("utf-8", errors="replace")  # a tab before no label stays
    return ""


def _refuse_folder_of_sets(folder: Path) -> None:
    """Stop at a folder one level too high, whose data.mdb files or lists a walk for images would pass by."""
    sets = sorted(data.parent.name for data in folder.glob("*/data.mdb"))
    if sets:
        raise InputError(
            f"{folder} holds {len(sets)} LMDBs ({', '.join(sets[:6])}): name each as a source of its own, "
            f"with the path {folder / sets[0]} and so on"
        )


def _nearest(path: Path) -> str:
    """Say how far the path exists, and what is there instead."""
    parent = next(folder for folder in path.parents if folder.exists())
    if not parent.is_dir():
        return f" ({parent} is a file)"
    names = sorted(entry.name for entry in parent.iterdir())[:6]
    return f" ({parent} holds {', '.join(names) or 'nothing'})"
