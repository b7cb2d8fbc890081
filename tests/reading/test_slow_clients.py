"""Many clients, slow ones and ones that hang up: the page goes on answering, and holds no memory for them.

`FAULT_SECONDS=60` makes it a minute with the limits that users get (`make test-faults`); else it is some seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmim_kedro.crops.sources.rendered import RenderedWords

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
SECONDS = float(os.environ.get("FAULT_SECONDS", "3"))
LONG = SECONDS > 30
CLIENTS = 50 if LONG else 12
SERVE = """
import sys
from lmim_kedro.reading import server, web
from lmim_kedro.__main__ import main
if {short}:
    web.BODY_SECONDS, server.PATIENCE = 1.0, 1.5
main(["serve", "--port=0"])
"""


class Server:
    """`lmim-kedro serve` as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.said = folder / "said.txt"
        with self.said.open("w") as said:
            code = SERVE.format(short=not LONG)
            self.process = subprocess.Popen([sys.executable, "-c", code], stdout=said, stderr=subprocess.STDOUT)
        until = time.monotonic() + 60
        while not (found := re.search(r"open http://127.0.0.1:(\d+)", self.said.read_text())):
            assert self.process.poll() is None and time.monotonic() < until, self.said.read_text()
            time.sleep(0.05)
        self.port = int(found[1])

    def megabytes(self) -> float:
        """Memory that the process holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def end(self) -> str:
        """What it said, all in all."""
        self.process.terminate()
        self.process.wait(20)
        return self.said.read_text()


@pytest.fixture
def server(tmp_path):
    running = Server(tmp_path)
    yield running
    if running.process.poll() is None:
        running.end()


async def post(port: int, body: bytes) -> str:
    """Send an image as fast as possible; the first line of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = f"POST /read HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        return (await reader.read()).decode("utf-8", "replace").splitlines()[0]
    finally:
        writer.close()


async def send_slowly(port: int, total: int, seconds: float) -> bytes:
    """Promise more bytes than are sent within some time, and wait for what the server does: its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2 * total}\r\n\r\n".encode())
    with contextlib.suppress(ConnectionError):
        for _ in range(10):
            writer.write(b"x" * (total // 10))
            await writer.drain()
            await asyncio.sleep(seconds / 10)
        return await reader.read()
    return b""


async def say_nothing(port: int, words: bytes = b"") -> bytes:
    """Connect, send less than a request, and wait until the server ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(words)
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


async def hang_up(port: int, body: bytes) -> None:
    """Send half of an image, or all of it, and be gone."""
    for part in (body[: len(body) // 2], body):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + part)
        await writer.drain()
        writer.transport.abort()


def test_clients_that_send_slowly_or_nothing_are_let_go_and_their_memory_with_them(server):
    image = RenderedWords(1).render(0)[1]

    async def crowd() -> list[bytes]:
        slow = [send_slowly(server.port, 5_000_000, 30.0 if LONG else 1.0) for _ in range(100 if LONG else 15)]
        silent = [say_nothing(server.port), say_nothing(server.port, b"POST /read HTTP/1.1\r\nHost: loc")]
        return await asyncio.wait_for(asyncio.gather(*slow, *silent), 180)

    assert asyncio.run(post(server.port, image)).endswith("200 OK")
    before = server.megabytes()
    *slow, idle, half = asyncio.run(crowd())
    assert all(answer == b"" or re.match(rb"HTTP/1.1 (408|503)", answer) for answer in slow)
    if not LONG:  # there, the answer goes down with a connection on which more was sent than read
        assert sum(b"408" in answer[:15] for answer in slow) >= 5
    assert (idle, half) == (b"", b"")
    assert asyncio.run(post(server.port, image)).endswith("200 OK")
    time.sleep(0.3)
    assert server.megabytes() - before < 120
    assert "Traceback" not in server.end()


def test_many_clients_at_once_are_answered_and_memory_stays(server):
    images = [RenderedWords(8).render(number)[1] for number in range(8)]

    async def client(number: int, until: float) -> list[str]:
        lines = []
        while time.monotonic() < until:
            lines.append(await post(server.port, images[number % 8]))
            if number % 10 == 0:
                await hang_up(server.port, images[number % 8] * 20)
        return lines

    async def crowd(seconds: float) -> list[list[str]]:
        until = time.monotonic() + seconds
        return await asyncio.gather(*(client(number, until) for number in range(CLIENTS)))

    asyncio.run(crowd(SECONDS / 3))
    before = server.megabytes()
    lines = asyncio.run(crowd(SECONDS))
    assert all(lines) and {line for each in lines for line in each} == {"HTTP/1.1 200 OK"}
    assert server.megabytes() - before < 60
    said = server.end()
    assert "Traceback" not in said and "Exception" not in said, said
