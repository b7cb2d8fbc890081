"""LMDB environments, read-only: each file opened once per process, on first use.

LMDB's rules leave no other way: an environment cannot be pickled, must not be opened twice in one process, and must not
be used by a forked child.
"""

import os
import struct
import threading
from pathlib import Path

import lmdb

from lmim_kedro.errors import InputError
from lmim_kedro.files import open_regular

_UNWRITTEN_PAGES = 64
"""Pages that were freed before they were ever written may lack at the end of a file that is whole."""
_META = struct.Struct("<16xII16xI92xQQ")
"""A meta page: magic, version, size of a page, last page, transaction. Source: MDB_meta of LMDB 0.9."""
_MAGIC, _VERSION = 0xBEEFC0DE, 1

_lock = threading.Lock()
_open: dict[tuple[int, int], lmdb.Environment] = {}


def environment(folder: Path, size: int | None = None) -> lmdb.Environment:
    """Return this process's environment of the LMDB in `folder`.

    Files are told apart by inode, so a store that was made anew at the same path is read anew.

    Args:
        folder: with data.mdb.
        size: bytes that data.mdb had when it was made; None: not known.

    Raises:
        InputError: if `folder` holds no data.mdb, one of another size, or one that LMDB cannot open.
    """
    data = folder / "data.mdb"
    if not data.is_file():
        raise InputError(f"no LMDB at {folder}: a folder with data.mdb was expected; check the path")
    found = data.stat()
    if size is not None and found.st_size != size:
        raise InputError(
            f"the shard {folder} is damaged: its data.mdb has {found.st_size:,} bytes, and it was made with {size:,}; "
            "run the command that made it again, and it is made anew"
        )
    with _lock:
        key = (found.st_dev, found.st_ino)
        if key not in _open:
            require_pages(folder)
            try:
                _open[key] = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, meminit=False)
            except lmdb.Error as error:
                raise InputError(
                    f"the LMDB {folder} cannot be opened ({error}): its data.mdb ({found.st_size:,} bytes) is damaged "
                    "or not an LMDB; copy or download it again"
                ) from error
        return _open[key]


def require_pages(folder: Path) -> None:
    """Check that the LMDB in `folder` has all pages that it counts, before one of them is mapped.

    Reading behind the end of a file that was cut off would kill the process, without a word (SIGBUS).

    Errors: InputError if pages are missing, or the file is no LMDB.
    """
    data = folder / "data.mdb"
    with open_regular(data) as file:
        size = os.fstat(file.fileno()).st_size
        metas = [_meta(file.read(_META.size))]
        if metas[0] is not None:
            file.seek(metas[0][0])
            metas.append(_meta(file.read(_META.size)))
    known = [meta for meta in metas if meta is not None]
    if len(known) < 2:
        raise InputError(
            f"the LMDB {folder} cannot be opened: its data.mdb ({size:,} bytes) is damaged or not an LMDB; copy or "
            "download it again"
        )
    page, last, _ = max(known, key=lambda meta: meta[2])
    expected = (last + 1) * page
    if size < expected - _UNWRITTEN_PAGES * page:
        raise InputError(
            f"the LMDB {folder} is cut off: its data.mdb has {size:,} bytes and {expected:,} were expected; copy or "
            "download it again"
        )


def _meta(page: bytes) -> tuple[int, int, int] | None:
    """Size of a page in bytes, last page and transaction; None for what is no meta page."""
    if len(page) < _META.size:
        return None
    magic, version, size, last, transaction = _META.unpack(page)
    good = (magic, version) == (_MAGIC, _VERSION) and 256 <= size <= 65536 and size & (size - 1) == 0
    return (size, last, transaction) if good else None


def _start_anew_after_fork() -> None:
    """Let a forked child open its own: the parent's locks and environments are not the child's to use."""
    global _lock
    _lock = threading.Lock()
    for inherited in _open.values():
        inherited.close()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew_after_fork)
