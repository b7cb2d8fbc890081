"""An ingest that is killed again and again, at random, ends with the store and the manifest of one that was not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from lmim_kedro.crops.shard_writer import ShardWriter

CROPS, SHARD = 3000, 50
INGEST = f"""
import sys
from pathlib import Path
from lmim_kedro.crops.manifest import manifest_tables, write_manifest
from lmim_kedro.crops.prepare import prepare
from lmim_kedro.crops.sources import open_source
from lmim_kedro.params import IngestParams
if __name__ == "__main__":
    raw, folder, workers = sys.argv[1:]
    params = IngestParams(workers=int(workers), shard_crops={SHARD})
    store = prepare([open_source("words", {{"path": raw}})], params, Path(folder, "crops"), need_labels=True)
    write_manifest(manifest_tables(store), Path(folder, "manifest.parquet"))
"""


@pytest.fixture
def ingest(tmp_path):
    """Start an ingest of 3,000 crops, a few of them broken, as a process of its own: (folder, workers) -> process."""
    script = tmp_path / "ingest.py"
    script.write_text(INGEST)
    with ShardWriter(tmp_path / "raw_lmdb") as writer:
        for number in range(CROPS):
            crop = cv2.imencode(".png", np.full((8, 20, 3), number % 256, np.uint8))[1].tobytes()
            writer.add(crop if number % 700 else b"broken", f"w{number}")

    def start(folder, workers):
        words = [sys.executable, str(script), str(tmp_path / "raw_lmdb"), str(folder), str(workers)]
        return subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL)

    return start


def shards(folder):
    return len(list(folder.glob("crops/shards/*.lmdb")))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_ingest_killed_three_times_ends_with_the_same_store_and_manifest(tmp_path, ingest):
    chance = random.Random()  # another moment each time: whatever it is, the claim holds
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    assert ingest(alone, 1).wait() == 0
    for workers, kill in ((1, os.kill), (2, os.kill), (2, os.killpg)):
        process, goal = ingest(killed, workers), shards(killed) + chance.randint(1, 12)
        while shards(killed) < goal and process.poll() is None:
            time.sleep(chance.random() / 100)
        kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (killed / "crops" / "store.json").exists()
    assert ingest(killed, 1).wait() == 0
    assert shards(alone) == CROPS // SHARD
    assert contents(killed) == contents(alone)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_workers_end_with_the_process_that_started_them(tmp_path, ingest):
    process = ingest(tmp_path / "killed", 2)
    while not shards(tmp_path / "killed"):
        time.sleep(0.01)
    assert len(group(process.pid)) > 2
    process.kill()
    process.wait()
    until = time.monotonic() + 10
    while group(process.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert group(process.pid) == []


def group(leader):
    """Ids of the processes of a group that still run, the tracker of shared memory and zombies aside."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, of_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if (
                int(of_group) == leader
                and state != "Z"
                and b"resource_tracker" not in (folder / "cmdline").read_bytes()
            ):
                found.append(int(folder.name))
        except OSError:
            continue
    return found
