"""Files that appear whole or not at all, their checksums, the project's JSON, users' text files, and digests."""

import codecs
import errno
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from lmim_kedro.errors import InputError

_ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a file beside its place, sync it, and move it into place: readers see the old file or the new one.

    Args:
        path: the file's place. Its folder is made.

    Yields:
        the path to write to. After an error it is removed, and the old file stays.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with whole(path) as part:
        ...     _ = part.write_text("all of it")
        >>> path.read_text()
        'all of it'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def disk_is_full(error: BaseException | None) -> bool:
    """Tell whether an error, or one that led to it, says that there is no room, or none left of the user's quota.

    Example:
        >>> disk_is_full(OSError(errno.ENOSPC, "No space left on device")), disk_is_full(OSError(errno.EIO, "worn out"))
        (True, False)
    """
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, whole or not at all."""
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that may not exist; without it the result is empty."""
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def open_text(path: Any) -> TextIO:
    """Open a text file that a user wrote, as any editor saves it.

    It is UTF-8 with or without a byte-order mark, or UTF-16 with one. LF, CRLF and CR all end a line, and come as
    newlines. Bytes that are no UTF-8 come as surrogates (`surrogateescape`), so that one bad line costs no other.

    Args:
        path: the file: a Path, or anything that opens as one does.
    """
    raw = io.BufferedReader(path.open("rb"))
    start = raw.peek(3)
    encoding = next((name for mark, name in _ENCODINGS.items() if start.startswith(mark)), "utf-8")
    return io.TextIOWrapper(raw, encoding, errors="surrogateescape")


def read_text(path: Path) -> str:
    """A whole text file that a user wrote, as `open_text` opens it.

    Raises:
        InputError: if the file is not there, cannot be read, or is not UTF-8.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "words.txt"
        >>> _ = path.write_bytes(codecs.BOM_UTF8 + b"one\\r\\ntwo\\rthree")
        >>> read_text(path)
        'one\\ntwo\\nthree'
    """
    try:
        with open_text(path) as file:
            text = file.read()
        text.encode()
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check the path") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the file and its rights") from error
    except UnicodeEncodeError as error:  # of a surrogate, which is a byte that is no UTF-8
        byte, line = ord(text[error.start]) - 0xDC00, text.count("\n", 0, error.start) + 1
        raise InputError(f"{path} is not UTF-8 (byte 0x{byte & 0xFF:02x} in line {line}): save it as UTF-8") from error
    except UnicodeError as error:
        raise InputError(f"{path} is neither UTF-8 nor UTF-16 ({error}): save it as UTF-8") from error
    return text


SUMS = "SHA256SUMS"
"""The file that lists the checksums of the files beside it, as `sha256sum` writes and checks them."""


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """List checksums of files, whole or not at all.

    Args:
        folder: the folder of the files.
        sums: name -> SHA-256.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_json(folder / "config.json", {"looks": 1})
        >>> write_sums(folder, {"config.json": sha256(folder / "config.json")})
        >>> damaged(folder, "config.json")
        []
        >>> write_json(folder / "config.json", {"looks": 3})
        >>> damaged(folder, "config.json")
        ['config.json']
    """
    with whole(folder / SUMS) as part:
        part.write_text("".join(f"{found}  {name}\n" for name, found in sums.items()), "utf-8")


def read_sums(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of the files that `write_sums` listed; empty where there is no list."""
    if not (folder / SUMS).is_file():
        return {}
    lines = (folder / SUMS).read_text("utf-8", "replace").splitlines()
    return {name: found for found, _, name in (line.partition("  ") for line in lines)}


def damaged(folder: Path, *names: str) -> list[str]:
    """Which of these files are not the ones that were listed; none where the folder has no list of checksums."""
    if not (folder / SUMS).is_file():
        return []
    sums = read_sums(folder)
    return [name for name in names if not (folder / name).is_file() or sums.get(name) != sha256(folder / name)]


def digest(content: object) -> str:
    """Hash anything that JSON can hold; the order of keys does not matter.

    Example:
        >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
        True
    """
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
