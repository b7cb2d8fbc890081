"""Files that appear whole or not at all; checksums; JSON; users' files, which may be anything; digests."""

import codecs
import errno
import hashlib
import io
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from lmim_kedro.errors import InputError

MOST_TEXT = 512 * 2**20
"""Bytes of the largest text that is read as a whole."""
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
_ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


_FORMULA = re.compile(r"['\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a file beside its place, sync it, and move it into place: readers see the old file or the new one.

    Args:
        path: the file's place. Its folder is made.

    Yields:
        the path to write to. After an error it is removed, and the old file stays.

    Errors: OSError with the file's name where there is no room for it, whatever error the writing library made of that.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with whole(path) as part:
        ...     _ = part.write_text("all of it")
        >>> path.read_text()
        'all of it'
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except Exception as error:
        reason = error if isinstance(error, OSError) else _refusal(part)
        if disk_is_full(error) or disk_is_full(reason):
            raise InputError(
                f"the disk of {path.parent} became full while {path.name} was written: make room or choose another "
                "disk, then run the same command again; what was there before is kept"
            ) from error
        own = reason is not error or str(reason.filename) in map(str, (part, *part.parents))
        if reason is not None and reason.errno in _NO_RIGHT and own:
            raise InputError(
                f"{path} cannot be written ({reason.strerror}): give the right to write into {path.parent}, or choose "
                "another folder"
            ) from error
        raise
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def open_regular(path: Path, most: int | None = None) -> BinaryIO:
    """Open a file to read its bytes, if it is one: a pipe would be waited for, and a device never ends.

    Args:
        path: the file.
        most: bytes of the largest file; None: of any size.

    Raises:
        OSError: if it cannot be opened, is no regular file or is too large; `strerror` has the reason.

    Example:
        >>> open_regular(Path("/dev/null"))
        Traceback (most recent call last):
        OSError: [Errno 22] a device, no regular file: '/dev/null'
    """
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        found = os.fstat(opened)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, f"{kind_of(found.st_mode)}, no regular file", str(path))
        if most is not None and found.st_size > most:
            raise OSError(errno.EFBIG, f"{found.st_size:,} bytes, and {most:,} are the most", str(path))
    except OSError:
        os.close(opened)
        raise
    return os.fdopen(opened, "rb")


def kind_of(mode: int) -> str:
    """What a file is that is no regular one, by its mode."""
    return _KINDS.get(stat.S_IFMT(mode), "something unknown")


def require_regular(path: Path) -> None:
    """Check that a path is a file or a folder, once links are followed. Errors: InputError where it is neither."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the path and its rights") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{path} is {kind_of(mode)}, no file: copy what it gives into a file, and name that")


def disk_is_full(error: BaseException | None) -> bool:
    """Tell whether an error, or one that led to it, says that there is no room, or none left of the user's quota.

    Example:
        >>> disk_is_full(OSError(errno.ENOSPC, "No space left on device")), disk_is_full(OSError(errno.EIO, "worn out"))
        (True, False)
    """
    while error is not None:
        if getattr(error, "errno", None) in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def _refusal(path: Path) -> OSError | None:
    """What the disk says to some more bytes in a file: torch and safetensors do not tell why they could not write."""
    try:
        with path.open("ab") as file:
            file.write(bytes(2**16))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error
    return None


def guarded(cell: str) -> str:
    """A text as a cell of a CSV file, in which no spreadsheet takes it for a formula: `unguarded` takes it back.

    A text that begins with = + - or @ (their full-width forms too), with or without blanks and apostrophes before it,
    gets an apostrophe in front, which spreadsheets take for the sign of a text.

    Source: https://owasp.org/www-community/attacks/CSV_Injection

    Example:
        >>> guarded("=1+1"), guarded("exit"), guarded("'-5"), unguarded(guarded("'-5"))
        ("'=1+1", 'exit', "''-5", "'-5")
    """
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """The text of a cell that `guarded` wrote."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_json(path: Path, content: object) -> None:
    """Write a JSON file, whole or not at all."""
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of the project, an object, which may not exist; without it the result is empty.

    Errors: InputError where the file is damaged.

    Example:
        >>> read_json(Path("absent.json"))
        {}
    """
    if not path.is_file():
        return {}
    damaged = "it is damaged: remove it and make it anew, or restore a copy"
    text = read_text(path)
    try:
        content = parse_json(text)
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}): {damaged}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a JSON object, so {damaged}")
    return content


def json_of(path: Any, what_to_do: str = "mend the file, or take it out of the folder") -> Any:
    """The content of a JSON file that a user has, in any encoding that `open_text` opens.

    Args:
        path: the file: a Path, or anything that opens as one does.
        what_to_do: the end of the sentence about a file that is no JSON.

    Errors: InputError where it cannot be read or is no JSON.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "labels.json"
        >>> _ = path.write_text('{"a.png": "door", "a.png": "gate"}')
        >>> json_of(path)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        lmim_kedro.errors.InputError: .../labels.json is not JSON ('a.png' stands in it more than once, ...
    """
    try:
        with open_text(path, MOST_TEXT) as file:
            return parse_json(file.read())
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}): {what_to_do}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the file and its rights") from error


def parse_json(text: str) -> Any:
    """What a JSON text holds: the one way in which text that users wrote becomes data.

    Errors: ValueError where it is no JSON, is nested too deeply, or has a name twice in one object: the json module
    would keep the last value, without a word.

    Example:
        >>> parse_json('{"text": "door"}')
        {'text': 'door'}
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{twice!r} stands in it more than once, and one value of it would be lost")
    return found


def open_text(path: Any, most: int | None = None) -> TextIO:
    """Open a text file that a user wrote, as any editor saves it.

    It is UTF-8 with or without a byte-order mark, or UTF-16 with one. LF, CRLF and CR all end a line, and come as
    newlines. Bytes that are no UTF-8 come as surrogates (`surrogateescape`), so that one bad line costs no other.

    Args:
        path: the file: a Path, or anything that opens as one does.
        most: bytes of the largest file; None: of any size.

    Errors: OSError as `open_regular`.
    """
    raw: Any = io.BufferedReader(open_regular(path, most) if isinstance(path, Path) else path.open("rb"))
    start = raw.peek(3)
    encoding = next((name for mark, name in _ENCODINGS.items() if start.startswith(mark)), "utf-8")
    return io.TextIOWrapper(raw, encoding, errors="surrogateescape")


def read_text(path: Path) -> str:
    """A whole text file that a user wrote, as `open_text` opens it.

    Raises:
        InputError: if the file is not there, cannot be read, is too large, or is not UTF-8.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "words.txt"
        >>> _ = path.write_bytes(codecs.BOM_UTF8 + b"one\\r\\ntwo\\rthree")
        >>> read_text(path)
        'one\\ntwo\\nthree'
    """
    try:
        with open_text(path, MOST_TEXT) as file:
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
