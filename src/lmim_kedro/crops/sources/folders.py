"""Folders of images: without labels, with a text file beside each image, or with the label in the name."""

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from lmim_kedro.crops.sources.archives import Place, ZipPath
from lmim_kedro.crops.sources.image_files import (
    IMAGE_SUFFIXES,
    Budget,
    Entry,
    ListedReader,
    Passed,
    leads_outside,
    open_listed,
)
from lmim_kedro.crops.sources.records import checked
from lmim_kedro.crops.sources.source import Layout
from lmim_kedro.errors import InputError
from lmim_kedro.files import open_regular, open_text

_TEXT = frozenset(
    [
        ".txt",
        ".csv",
        ".tsv",
        ".json",
        ".jsonl",
        ".xml",
        ".md",
        ".html",
        ".htm",
        ".py",
        ".yml",
        ".yaml",
        ".lst",
        ".log",
        ".ini",
        ".toml",
        ".cfg",
        ".rst",
        ".mat",
        ".npy",
        ".pkl",
        ".pdf",
        ".doc",
        ".docx",
        ".xls",
        ".xlsx",
        ".svg",
        ".parquet",
        ".mdb",
        ".db",
        ".zip",
        ".tar",
        ".gz",
        ".tgz",
        ".7z",
        ".rar",
        ".mp4",
        ".mov",
        ".avi",
        ".mp3",
        ".wav",
        ".ttf",
        ".otf",
        ".woff",
        ".woff2",
        ".sh",
        ".pt",
        ".pth",
        ".onnx",
        ".safetensors",
    ]
)
"""Suffixes of files whose content is not looked at to find an image without a name of its own."""
_ARCHIVES = frozenset([".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".parquet"])
_IMAGE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II\*\0|MM\0\*|\0\0\0\x0cjP  |\xff\x4f\xff\x51|"
    rb"....ftyp(?:avif|avis|heic|heix|mif1)|P[1-6]\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s",
    re.DOTALL,
)
_GT = ".gt.txt"
_SAMPLE = 200
"""Images that are looked at to find whether a folder has a text beside each."""
_YOLO = re.compile(r"\d+(\s+[01]?\.?\d*){4,}")
_LONGEST_WORD = 200


def files_below(path: Place, ordered: bool = True, outside: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Each folder below `path`, relative to it ("" first), with the sorted names of its files.

    Links to folders are followed once; those that lead out of `path` only if `outside` is true, else they count as
    files. Where the order does not matter, the names of a large folder come in parts, so that the first are there at
    once. Errors: InputError for a folder that may not be read.
    """
    if isinstance(path, ZipPath):
        folders: dict[str, list[str]] = {}
        for name in path.below():
            folders.setdefault(os.path.dirname(name), []).append(os.path.basename(name))
        yield from sorted(folders.items())
        return

    def refuse(error: OSError) -> None:
        raise InputError(
            f"the folder {error.filename} cannot be read ({error.strerror}): give the rights to read it, or take it "
            "out of the source"
        ) from error

    if not ordered:
        yield from _parts_below(str(path), "", refuse)
        return
    seen = set()
    for folder, subfolders, files in os.walk(path, followlinks=True, onerror=refuse):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        below = Path(folder).relative_to(path).as_posix()
        away = [name for name in subfolders if not outside and _is_link_away(path, f"{below}/{name}")]
        subfolders[:] = sorted(set(subfolders) - set(away))
        files += away
        yield ("" if below == "." else below), sorted(files)


def _is_link_away(root: Path, folder: str) -> bool:
    return os.path.islink(os.path.join(root, folder)) and leads_outside(root, folder)


def _parts_below(root: str, below: str, refuse: Callable[[OSError], None]) -> Iterator[tuple[str, list[str]]]:
    folders, names = [], []
    try:
        with os.scandir(os.path.join(root, below)) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{below}/{entry.name}" if below else entry.name)
                else:
                    names.append(entry.name)
                if len(names) == _SAMPLE:
                    yield below, names
                    names = []
    except OSError as error:
        refuse(error)
    yield below, names
    for folder in sorted(folders):
        yield from _parts_below(root, folder, refuse)


def sorted_out(path: Place, ordered: bool = True, outside: bool = False) -> Iterator[str | Passed]:
    """The images below a folder, relative to it, and what else is there; `outside` as in `files_below`."""
    if isinstance(path, ZipPath):
        for name in path.passed_over():
            yield Passed(name, "files that lead out of the archive")
    for folder, names in files_below(path, ordered, outside):
        for name in names:
            place = f"{folder}/{name}" if folder else name
            yield _sort(path, place, name)


def _sort(path: Place, place: str, name: str) -> str | Passed:
    suffix = os.path.splitext(name)[1].lower()
    if name.startswith("._") or place.startswith("__MACOSX/"):
        return Passed(place, "of macOS's notes on other files")
    if suffix in IMAGE_SUFFIXES:
        return place
    if isinstance(path, Path) and os.path.isdir(path / place):
        return Passed(place, "links to folders, which are not followed (out of the source: only with allow_outside)")
    if suffix not in _TEXT and _IMAGE.match(_start(path / place)):
        return place
    if suffix in _ARCHIVES:
        return Passed(place, f"{suffix} files, each of which can be a source of its own")
    return Passed(place, f"{suffix} files, no images" if suffix else "files without a suffix, no images")


def _start(file: Place) -> bytes:
    try:
        with open_regular(file) if isinstance(file, Path) else file.open("rb") as opened:
            return opened.read(64)
    except (OSError, ValueError):
        return b""


def _read_folder(path: Place, ordered: bool = True, outside: bool = False) -> Iterator[Entry | Passed]:
    """All image files below `path`, in the order of their names."""
    for found in sorted_out(path, ordered, outside):
        yield checked(found, None) if isinstance(found, str) else found


def _read_named(
    path: Place, ordered: bool = True, outside: bool = False, *, label_of: Callable[[str], str | None], expected: str
) -> Iterator[Entry | Passed]:
    """Image files whose names hold their labels."""
    known = 0
    for found in sorted_out(path, ordered, outside):
        if isinstance(found, Passed):
            yield found
            continue
        label = label_of(PurePosixPath(found).stem)
        known += label is not None
        yield checked(found, label, None if label is not None else f"no label: expected a name such as {expected}")
    if not known:
        raise InputError(f"no image below {path} has a name such as {expected}: leave the layout out")


def _trdg(stem: str) -> str | None:
    """The text before the last underscore: `word_12`."""
    text, _, number = stem.rpartition("_")
    return text if number.isdigit() and text else None


def _mjsynth(stem: str) -> str | None:
    """The text between two numbers: `115_Lube_45484`."""
    found = re.fullmatch(r"\d+_(.+)_\d+", stem)
    return found[1] if found else None


def _read_pairs(path: Place, ordered: bool = True, outside: bool = False) -> Iterator[Entry | Passed]:
    """Images with a text file beside each: `a.png` and `a.gt.txt` (tesstrain, kraken, calamari), or `a.txt`."""
    ending = text_beside(path) or _GT
    for folder, names in files_below(path, outside=outside):
        start = f"{folder}/" if folder else ""
        texts, used = {name for name in names if name.endswith(ending)}, set()
        for name in names:
            if name in texts:
                continue
            found = _sort(path, start + name, name)
            if isinstance(found, Passed):
                yield found
                continue
            text = next((stem + ending for stem in _stems(name) if stem + ending in texts), None)
            if text is None:
                yield checked(found, None, "no label")
            else:
                used.add(text)
                if not outside and leads_outside(path, start + text):
                    yield checked(found, None, f"no label: {text} is a link that leads outside the source")
                else:
                    yield checked(found, *_label_in(path / (start + text)))
        for text in sorted(texts - used):
            if ending == _GT:
                yield Entry(start + text, None, f"missing image: there is none beside {text}")
            else:
                yield Passed(start + text, f"{ending} files without an image beside them")


def _stems(name: str) -> list[str]:
    """What a text beside an image may be called: `a.bin` or `a` for `a.bin.png`, and `a.bin.png` itself."""
    stem = os.path.splitext(name)[0]
    return [stem, stem.partition(".")[0], name]


def _label_in(file: Place) -> tuple[str | None, str | None]:
    """The label in a text file, and what is wrong with it."""
    try:
        with open_text(file) as opened:
            label = opened.read(100_000).strip("\n")
    except OSError as error:
        return None, f"no label: {file.name} cannot be read ({error.strerror})"
    except UnicodeError:
        return None, "label not UTF-8"
    lines = label.count("\n") + 1
    return (label, None) if lines == 1 else (None, f"bad label: {lines} lines in {file.name}, and one was expected")


def text_beside(path: Place) -> str | None:
    """How the files end that hold the labels beside a folder's images, ".gt.txt" or ".txt"; None: there are none."""
    images, beside, plain = 0, 0, True
    for folder, names in islice(files_below(path, ordered=False), _SAMPLE):
        if any(name.endswith(_GT) for name in names):
            return _GT
        for name in names:
            if os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES:
                continue
            images += 1
            text = next((stem + ".txt" for stem in _stems(name) if (path / folder / (stem + ".txt")).is_file()), None)
            if text is not None and plain:
                beside += 1
                label, _ = _label_in(path / folder / text)
                plain = label is not None and len(label) <= _LONGEST_WORD and not _YOLO.fullmatch(label)
            if images == _SAMPLE:
                break
        if images >= _SAMPLE or not plain:
            break
    return ".txt" if plain and images and beside * 2 >= images else None


def has_images(path: Place) -> bool:
    """Whether there is an image below a folder."""
    return any(isinstance(found, str) for found in sorted_out(path, ordered=False))


def _layout(name: str, kind: str, read: Callable[..., Iterator[Entry | Passed]], labeled: bool, **how: Any) -> Layout:
    def opened(path: Place, budget: Budget | None = None, allow_outside: bool = False) -> ListedReader:
        listed = partial(read, ordered=budget is None, outside=allow_outside)
        how: dict[str, Any] = {"labeled": labeled, "budget": budget, "allow_outside": allow_outside}
        return open_listed(path, None, name=name, kind=kind, read=listed, **how)

    return Layout(name, opened, options=("path", "allow_outside"), bounded=True, in_archives=True, **how)


FOLDER = _layout("folder", "folder", _read_folder, False, sign="images, and no labels that are recognized")
PAIRS = _layout(
    *("pairs", "folder of images with a text beside each", _read_pairs, True),
    looks_like=lambda path: path.is_dir() and text_beside(path) is not None,
    sign="a.png with a.gt.txt or a.txt beside it",
)
TRDG = _layout(
    *("trdg", "folder of images named by their labels", partial(_read_named, label_of=_trdg, expected="word_12.jpg")),
    labeled=True,
    sign="names such as word_12.jpg",
)
MJSYNTH = _layout(
    *("mjsynth", "folder of images named by their labels"),
    read=partial(_read_named, label_of=_mjsynth, expected="1_word_123.jpg"),
    labeled=True,
    sign="names such as 1_word_123.jpg",
)
