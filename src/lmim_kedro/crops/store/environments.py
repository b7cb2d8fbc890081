"""LMDB environments, read-only: each file opened once per process, on first use.

LMDB's rules leave no other way: an environment cannot be pickled, must not be opened twice in one process, and must not
be used by a forked child.
"""

import os
import threading
from pathlib import Path

import lmdb

from lmim_kedro.errors import InputError

_UNWRITTEN_PAGES = 64
"""Pages that were freed before they were ever written may lack at the end of a file that is whole."""

_lock = threading.Lock()
_open: dict[tuple[int, int], lmdb.Environment] = {}


def environment(folder: Path) -> lmdb.Environment:
    """Return this process's environment of the LMDB in `folder`.

    Files are told apart by inode, so a store that was made anew at the same path is read anew.

    Raises:
        InputError: if `folder` holds no data.mdb, or one that LMDB cannot open.
    """
    data = folder / "data.mdb"
    if not data.is_file():
        raise InputError(f"no LMDB at {folder}: a folder with data.mdb was expected; check the path")
    found = data.stat()
    with _lock:
        key = (found.st_dev, found.st_ino)
        if key not in _open:
            try:
                opened = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, meminit=False)
                # Reading behind the end of a file that was cut off would kill the process, without a word (SIGBUS).
                page, size = opened.stat()["psize"], found.st_size
                expected = (opened.info()["last_pgno"] + 1) * page
                if size < expected - _UNWRITTEN_PAGES * page:
                    opened.close()
                    raise InputError(
                        f"the LMDB {folder} is cut off: its data.mdb has {size:,} bytes and {expected:,} were "
                        "expected; copy or download it again"
                    )
                _open[key] = opened
            except lmdb.Error as error:
                raise InputError(
                    f"the LMDB {folder} cannot be opened ({error}): its data.mdb ({found.st_size:,} bytes) is damaged "
                    "or not an LMDB; copy or download it again"
                ) from error
        return _open[key]


def _start_anew_after_fork() -> None:
    """Let a forked child open its own: the parent's locks and environments are not the child's to use."""
    global _lock
    _lock = threading.Lock()
    for inherited in _open.values():
        inherited.close()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew_after_fork)
