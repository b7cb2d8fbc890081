"""A program of its own that reads a foreign LMDB: a damaged one may end the process that reads it, without a word.

    python -P lmdb_child.py FOLDER

It takes a request in JSON a line, and answers with messages: 8 bytes of their length, then what `marshal` writes.
`{"probe": true}` asks what the LMDB is, `{"has": KEY}` whether it has a key. Other requests name the crops `start` to
`stop`; the answers are lists of (image, its length, label), None where there is none, and end with None. An image of
more than `most` bytes is not sent. A text instead of an answer is LMDB's error. The program imports nothing of the
project, so that it starts at once.
"""

import json
import marshal
import os
import signal
import sys
from typing import Any

import lmdb

AT_ONCE, BYTES_AT_ONCE = 64, 4 * 2**20
SECONDS = 120
"""How long 64 crops may take: in a damaged tree, a search need not end."""
MOST_LABEL = 100_000
"""Bytes of the longest label."""


def probe(txn: Any) -> dict[str, Any]:
    """The number of entries, num-samples, the first image key, whether there are labels, and some keys."""
    count = txn.get(b"num-samples")
    keys = [bytes(key[:30]) for key, _ in zip(txn.cursor().iternext(values=False), range(3), strict=False)]
    image, label = first_key(txn, b"image-"), first_key(txn, b"label-")
    found = {"entries": txn.stat()["entries"], "count": None if count is None else bytes(count[:100])}
    return found | {"image": image, "labeled": label is not None, "keys": keys}


def first_key(txn: Any, prefix: bytes) -> bytes | None:
    """The first key that begins so, at most 100 bytes of it."""
    cursor = txn.cursor()
    key = bytes(cursor.key()[:100]) if cursor.set_range(prefix) else b""
    return key if key.startswith(prefix) else None


def crops(txn: Any, start: int, stop: int, base: int, digits: int, labeled: bool, most: int) -> None:
    """Send the crops `start` to `stop`."""
    batch: list[tuple[bytes | None, int, bytes | None]] = []
    size = 0
    for position in range(start, stop):
        number = f"{position + base:0{digits}d}".encode()
        data = txn.get(b"image-" + number)
        label = txn.get(b"label-" + number) if labeled and data is not None else None
        length = -1 if data is None else len(data)
        kept = None if data is None or length > most else bytes(data)
        batch.append((kept, length, None if label is None else bytes(label[: MOST_LABEL + 1])))
        size += len(kept or b"")
        if len(batch) == AT_ONCE or size > BYTES_AT_ONCE:
            send(batch)
            batch, size = [], 0
    if batch:
        send(batch)
    send(None)


def send(content: Any) -> None:
    """Send one message; the time that the other side takes to read it does not count."""
    alarm(0)
    data = marshal.dumps(content)
    sys.stdout.buffer.write(len(data).to_bytes(8, "little") + data)
    sys.stdout.buffer.flush()
    alarm(SECONDS)


def alarm(seconds: int) -> None:
    """End this process after so many seconds; 0: do not."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def main(folder: str) -> None:
    """Answer requests until there is none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the other side, which ends this one
    environment = None
    for line in sys.stdin:
        request = json.loads(line)
        alarm(SECONDS)
        try:
            if environment is None:
                environment = lmdb.open(folder, readonly=True, lock=False, readahead=False, meminit=False)
            with environment.begin(buffers=True) as txn:
                if "probe" in request:
                    send(probe(txn))
                elif "has" in request:
                    send(txn.get(request["has"].encode()) is not None)
                else:
                    crops(txn, **request)
        except (lmdb.Error, MemoryError) as error:
            send(str(error) or type(error).__name__)
        alarm(0)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except BrokenPipeError:
        os._exit(1)
