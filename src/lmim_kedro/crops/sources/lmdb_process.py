"""Reads of foreign LMDBs through processes of their own, one kept for each LMDB: see lmdb_child.py."""

import json
import marshal
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lmim_kedro.crops.store.environments import require_pages
from lmim_kedro.errors import InputError

_MOST_IDLE = 8
"""Processes that wait for the next request; the one that waits longest is ended first."""
_lock = threading.Lock()
_idle: list[tuple[tuple[int, int], "_Process"]] = []


class _Process:
    """One process that reads the LMDB in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = [sys.executable, "-P", str(Path(__file__).with_name("lmdb_child.py")), str(folder)]
        self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, request: dict[str, Any]) -> None:
        """Send a request."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._died() from None

    def answer(self) -> Any:
        """Wait for the next message. Errors: InputError if the process died, or LMDB found the file damaged."""
        assert self.process.stdout is not None
        head = self.process.stdout.read(8)
        data = self.process.stdout.read(int.from_bytes(head, "little")) if len(head) == 8 else b""
        if len(head) < 8 or len(data) < int.from_bytes(head, "little"):
            raise self._died()
        content = marshal.loads(data)
        if isinstance(content, str):
            raise InputError(f"the LMDB {self.folder} is damaged ({content}): copy or download it again")
        return content

    def end(self) -> None:
        """End the process, if it did not end by itself."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _died(self) -> InputError:
        status = self.process.wait()
        why = signal.strsignal(-status) if status < 0 else f"status {status}"
        return InputError(
            f"the LMDB {self.folder} is damaged: the process that read it died ({why}); copy or download it again"
        )


def ask(folder: Path, request: dict[str, Any]) -> Iterator[Any]:
    """Send a request to a process that reads the LMDB in `folder`, and yield its answers, without the None at the end.

    Errors: InputError if the LMDB is missing, cut off or damaged.
    """
    data = folder / "data.mdb"
    if not data.is_file():
        raise InputError(f"no LMDB at {folder}: a folder with data.mdb was expected; check the path")
    found = data.stat()
    key = found.st_dev, found.st_ino
    process = _take(key)
    if process is None:
        require_pages(folder)
        process = _Process(folder)
    whole = False
    try:
        process.ask(request)
        while (content := process.answer()) is not None:
            yield content
            if "start" not in request:
                break  # one answer is all
        whole = True
    finally:
        if whole:
            _put(key, process)
        else:  # it died, or is amid an answer that nobody wants
            process.end()


def _take(key: tuple[int, int]) -> _Process | None:
    with _lock:
        place = next((place for place, (its, _) in enumerate(_idle) if its == key), None)
        return None if place is None else _idle.pop(place)[1]


def _put(key: tuple[int, int], process: _Process) -> None:
    with _lock:
        _idle.append((key, process))
        ended = _idle.pop(0)[1] if len(_idle) > _MOST_IDLE else None
    if ended is not None:
        ended.end()


def _start_anew_after_fork() -> None:
    """Let a forked child start its own: two would read each other's answers."""
    global _lock
    _lock = threading.Lock()
    for _, process in _idle:
        process.process.returncode = 0  # it is the parent's to end
        for pipe in (process.process.stdin, process.process.stdout):
            if pipe is not None:
                pipe.close()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew_after_fork)
