"""A worker process of an ingest that is killed costs no crop: what there is stays, and the next run adds the rest."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.store.shard_writer import ShardWriter
from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams

CROPS = 2000
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
SEED = int(os.environ.get("FAULT_SEED", "0"))


def ingest(raw: Path, folder: Path, workers: int) -> None:
    params = IngestParams(workers=workers, shard_crops=40)
    prepare([open_source("words", {"path": str(raw)})], params, folder, need_labels=True)


def start(raw: Path, folder: Path) -> int:
    """Ingest in a process of its own: status 0 for a store, 2 for a sentence, 1 for anything else."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            ingest(raw, folder, 2)
            status = 0
        except InputError:
            status = 2
        finally:
            os._exit(status)
    return child


def workers_of(process: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(parent) == process and state != "Z" and b"resource_tracker" not in command:
            found.append(int(folder.name))
    return found


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and looks for processes in /proc")
@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_killed_worker_ends_the_ingest_in_a_sentence_and_the_next_run_goes_on(tmp_path, number):
    chance = random.Random(SEED + number)
    with ShardWriter(tmp_path / "raw_lmdb") as writer:
        for crop in range(CROPS):
            pixels = np.full((8, 20, 3), crop % 256, np.uint8)
            writer.add(cv2.imencode(".png", pixels)[1].tobytes(), f"w{crop}")
    store = tmp_path / "killed"
    child, until = start(tmp_path / "raw_lmdb", store), time.monotonic() + 60
    while not (workers := workers_of(child)) and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(chance.random() / 2)
    os.kill(chance.choice(workers), signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 2), "a traceback"  # 0: its work was done
    ingest(tmp_path / "raw_lmdb", store, 1)
    ingest(tmp_path / "raw_lmdb", tmp_path / "alone", 1)
    assert contents(store) == contents(tmp_path / "alone")
