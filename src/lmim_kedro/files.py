"""Files that appear whole or not at all, the project's JSON, users' text files, and digests of what JSON can hold."""

import codecs
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from lmim_kedro.errors import InputError

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
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except Exception as error:
        reason = error if isinstance(error, OSError) else _refusal(part)
        if reason is None or reason.errno is None or (reason is error and reason.filename is not None):
            raise
        raise OSError(reason.errno, os.strerror(reason.errno), str(path)) from error
    finally:
        part.unlink(missing_ok=True)


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
    """Read a JSON file that may not exist; without it the result is empty.

    Errors: InputError if it holds anything but a JSON object, or cannot be read.

    Example:
        >>> read_json(Path("absent.json"))
        {}
    """
    return parse_json(read_text(path), path) if path.is_file() else {}


def parse_json(text: str, path: object) -> dict[str, Any]:
    """A JSON object from the text of a file.

    Args:
        text: what the file holds.
        path: its place, for the error.

    Errors: InputError, naming line and column where there is no JSON.

    Example:
        >>> parse_json('{"kind": "encoder"', "config.json")
        Traceback (most recent call last):
        lmim_kedro.errors.InputError: config.json is not JSON (line 1, column 19: Expecting ',' delimiter): it is \
damaged; put the file back, or make it anew
    """
    damaged = "it is damaged; put the file back, or make it anew"
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise InputError(f"{path} is not JSON ({where}): {damaged}") from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of more digits than Python takes
        raise InputError(f"{path} is not JSON that can be read ({error}): {damaged}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds JSON, but no object with names and values: {damaged}")
    return found


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


def digest(content: object) -> str:
    """Hash anything that JSON can hold; the order of keys does not matter.

    Example:
        >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
        True
    """
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
