"""Zip archives as folders: members are looked up where they lie, and nothing is unpacked to disk."""

import io
import os
import posixpath
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO

from lmim_kedro.errors import InputError

LARGEST = 256 * 2**20
"""Bytes of the largest member that is read, unpacked: a picture of a word has a thousandth of it."""


class ZipPath:
    """A file or folder inside a zip archive, with what layouts use of pathlib.Path.

    Args:
        archive: the archive.
        at: the place inside, with forward slashes; "": the archive itself.

    Errors: InputError if the archive cannot be read.

    Example:
        >>> import tempfile
        >>> archive = Path(tempfile.mkdtemp()) / "words.zip"
        >>> with zipfile.ZipFile(archive, "w") as made:
        ...     made.writestr("crops/gt.txt", "a.png\\tdoor")
        >>> listed = ZipPath(archive) / "crops" / "gt.txt"
        >>> listed.suffix, listed.is_file(), listed.read_bytes()
        ('.txt', True, b'a.png\\tdoor')
    """

    def __init__(self, archive: Path, at: str = "") -> None:
        self.archive, self.at = archive, at

    def __truediv__(self, other: object) -> "ZipPath":
        joined = posixpath.normpath(posixpath.join(self.at, str(other)))
        return ZipPath(self.archive, "" if joined == "." else joined)

    def __str__(self) -> str:
        return f"{self.archive}/{self.at}" if self.at else str(self.archive)

    __repr__ = __str__

    def __fspath__(self) -> str:
        return str(self)

    def __lt__(self, other: "ZipPath") -> bool:
        return self.at < other.at

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZipPath) and (self.archive, self.at) == (other.archive, other.at)

    def __hash__(self) -> int:
        return hash((self.archive, self.at))

    @property
    def name(self) -> str:
        """The last part."""
        return posixpath.basename(self.at) or self.archive.name

    @property
    def suffix(self) -> str:
        """What follows the last dot of the name, with the dot."""
        return posixpath.splitext(self.name)[1]

    @property
    def parent(self) -> "ZipPath":
        """The folder around it; the archive is its own."""
        return ZipPath(self.archive, posixpath.dirname(self.at))

    @property
    def parents(self) -> list["ZipPath"]:
        """The folders around it, up to the archive."""
        found, place = [], self
        while place.at:
            place = place.parent
            found.append(place)
        return found

    @property
    def size(self) -> int:
        """Bytes of the file, unpacked, by the archive's list; 0 where it is none."""
        info = _members(self.archive).files.get(self.at)
        return 0 if info is None else info.file_size

    def is_file(self) -> bool:
        """Whether the archive has this file."""
        return self.at in _members(self.archive).files

    def is_dir(self) -> bool:
        """Whether files of the archive lie below it."""
        return not self.at or self.at in _members(self.archive).folders

    def exists(self) -> bool:
        """Whether it is a file or a folder."""
        return self.is_file() or self.is_dir()

    def iterdir(self) -> Iterator["ZipPath"]:
        """What lies directly in this folder."""
        members = _members(self.archive)
        for name in (*members.folders, *members.files):
            if posixpath.dirname(name) == self.at and name != self.at:
                yield ZipPath(self.archive, name)

    def below(self) -> Iterator[str]:
        """The names of all files below this folder, relative to it, in order."""
        start = f"{self.at}/" if self.at else ""
        for name in _members(self.archive).files:
            if name.startswith(start):
                yield name[len(start) :]

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open the file to read its bytes. Errors: OSError where it cannot be."""
        return io.BytesIO(self.read_bytes())

    def read_bytes(self, most: int = LARGEST) -> bytes:
        """The bytes of the file, if it has no more than `most`. Errors: OSError with the reason as `strerror`."""
        members = _members(self.archive)
        info = members.files.get(self.at)
        if info is None:
            raise FileNotFoundError(2, "no such member", str(self))
        if info.file_size > most:
            raise OSError(27, f"{info.file_size:,} bytes unpacked, and {most:,} are the most", str(self))
        try:
            return members.archive.read(info)
        except (RuntimeError, NotImplementedError, zipfile.BadZipFile, EOFError, ValueError) as error:
            why = "it is encrypted" if info.flag_bits & 1 else f"{error}"
            raise OSError(5, why, str(self)) from error
        except Exception as error:  # zlib, bz2 and lzma have errors of their own
            raise OSError(5, f"damaged: {error}", str(self)) from error

    def passed_over(self) -> list[str]:
        """Names of members that lead out of the archive, which are not read."""
        return _members(self.archive).outside


class _Members:
    """What an archive holds, read once in each process."""

    def __init__(self, path: Path) -> None:
        try:
            self.archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
            raise InputError(f"the archive {path} cannot be read ({error}): copy or download it again") from error
        self.files: dict[str, zipfile.ZipInfo] = {}
        self.outside: list[str] = []
        named = [(_name_of(info), info) for info in self.archive.infolist() if not info.is_dir()]
        for name, info in sorted(named, key=lambda pair: pair[0].split("/")):
            normal = posixpath.normpath(name)
            if name.startswith("/") or normal.startswith("..") or ":" in name.partition("/")[0]:
                self.outside.append(name)
            else:
                self.files[normal] = info
        self.folders: dict[str, None] = {}
        for name in self.files:
            while (name := posixpath.dirname(name)) and name not in self.folders:
                self.folders[name] = None


def _name_of(info: zipfile.ZipInfo) -> str:
    """The name of a member. Many programs write UTF-8 without the flag that says so."""
    name = info.filename.replace("\\", "/")
    if info.flag_bits & 0x800:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _members(archive: Path) -> _Members:
    stat = archive.stat()
    return _read_members(archive, stat.st_mtime_ns, stat.st_size, os.getpid())


@lru_cache(maxsize=8)
def _read_members(archive: Path, changed: int, size: int, process: int) -> _Members:
    """Open once for each version of the file and each process: a fork would share the place in the file."""
    return _Members(archive)


Place = Path | ZipPath
"""A file or folder, on disk or in an archive."""


def is_archive(path: Place) -> bool:
    """Whether a file is a zip archive, by its content."""
    return isinstance(path, Path) and path.is_file() and zipfile.is_zipfile(path)


def inside(archive: Path) -> ZipPath:
    """The folder that an archive holds: its top, or the one folder there that has everything else in it."""
    place = ZipPath(archive)
    while True:
        entries = [entry for entry in place.iterdir() if entry.name != "__MACOSX"]
        if len(entries) != 1 or not entries[0].is_dir():
            return place
        place = entries[0]
