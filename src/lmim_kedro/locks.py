"""One writer for a folder at a time: a lock that ends with its process, and the name of whoever holds it."""

import logging
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json, write_json

log = logging.getLogger(__name__)

LOCK, HOLDER = ".lock", ".lock.json"
"""The locked file of a folder, and what says who has locked it."""
WAIT: ContextVar[bool] = ContextVar("wait", default=False)
"""Whether a run waits for another one that writes to the same folder (`--wait`)."""
_SECONDS = 0.5
"""Between two looks of a waiting process."""


@contextmanager
def writing(folder: Path, wait: bool, otherwise: str = "") -> Iterator[bool]:
    """Be the one process that writes to a folder.

    The system ends the lock with its process, however that ends. Where the file system has no locks, a line in the log
    says so, and nothing is locked.

    Args:
        folder: the folder. It is made.
        wait: whether to wait for another process that writes there.
        otherwise: what else can be done about it, for the error.

    Yields:
        whether there was one to wait for.

    Errors: InputError with the name of the other process, without `wait`.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with writing(folder, wait=False):
        ...     with writing(folder, wait=False):
        ...         pass
        Traceback (most recent call last):
        lmim_kedro.errors.InputError: ... is being written by process ...
    """
    from filelock import FileLock, Timeout  # 50 ms, which reading a word need not take

    lock, waited = FileLock(folder / LOCK, thread_local=False), False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if not wait:
                raise InputError(
                    f"{folder} is being written by {_holder(folder)}: {otherwise or 'wait for it'}"
                ) from None
            log.info("waiting for %s, which is being written by %s", folder, _holder(folder))
            lock.acquire(poll_interval=_SECONDS)
            waited = True
    except OSError as error:
        log.warning("%s cannot be locked (%s): see to it that no other run writes there", folder, error)
    try:
        with suppress(OSError):  # without its name, a lock is one all the same
            if lock.is_locked:
                write_json(folder / HOLDER, _this_process())
        yield waited
    finally:
        if lock.is_locked:
            (folder / HOLDER).unlink(missing_ok=True)
            lock.release()


def _this_process() -> dict[str, object]:
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    command = f"{name} {shlex.join(sys.argv[1:])}".strip()
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": command}


def _holder(folder: Path) -> str:
    """Who holds the lock of a folder, in words."""
    found = read_json(folder / HOLDER)
    if not found:
        return "another process, which has just begun"
    return "process {pid} on {host} since {since} (`{command}`)".format(**found)
