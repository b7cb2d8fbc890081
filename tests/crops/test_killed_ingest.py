"""An ingest that is killed again and again, at random, ends with the store and the manifest of one that was not."""

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
from lmim_kedro.crops.store.manifest import manifest_tables, write_manifest
from lmim_kedro.crops.store.shard_writer import ShardWriter
from lmim_kedro.params import IngestParams

CROPS, SHARD = 3000, 60


@pytest.fixture
def raw(tmp_path):
    """An LMDB of 3,000 crops, a few of them broken."""
    with ShardWriter(tmp_path / "raw_lmdb") as writer:
        for number in range(CROPS):
            crop = cv2.imencode(".png", np.full((8, 20, 3), number % 256, np.uint8))[1].tobytes()
            writer.add(crop if number % 700 else b"broken", f"w{number}")
    return tmp_path / "raw_lmdb"


def ingest(raw, folder, workers):
    params = IngestParams(workers=workers, shard_crops=SHARD)
    store = prepare([open_source("words", {"path": str(raw)})], params, folder / "crops", need_labels=True)
    write_manifest(manifest_tables(store), folder / "manifest.parquet")


def start(raw, folder, workers):
    """Ingest in a process of its own, which leads a group of processes."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        try:
            ingest(raw, folder, workers)
        finally:
            os._exit(0)
    return child


def shards(folder):
    return len(list(folder.glob("crops/shards/*.lmdb")))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and looks for processes in /proc")
def test_ingest_killed_three_times_ends_with_the_same_store_and_manifest(tmp_path, raw):
    chance = random.Random()  # another moment each time: whatever it is, the claim holds
    killed = tmp_path / "killed"
    for workers in (1, 1, 2):
        child, goal = start(raw, killed, workers), shards(killed) + chance.randint(1, 5)
        while shards(killed) < goal:
            time.sleep(chance.random() / 100)
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        assert not (killed / "crops" / "store.json").exists()
    assert_workers_end_too(child)
    assert shards(killed) < CROPS // SHARD
    ingest(raw, killed, 1)
    ingest(raw, tmp_path / "alone", 1)
    assert contents(killed) == contents(tmp_path / "alone")


def assert_workers_end_too(leader):
    """The workers of a killed process must not write on: they would do so beside those of the next run."""
    until = time.monotonic() + 10
    while (found := group(leader)) and time.monotonic() < until:
        time.sleep(0.05)
    assert found == []


def group(leader):
    """Ids of the processes of a group that still run; the tracker of shared memory ends when all others have."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, of_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if int(of_group) == leader and state != "Z" and b"resource_tracker" not in command:
            found.append(int(folder.name))
    return found
