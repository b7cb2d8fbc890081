"""A disk that becomes full ends an ingest with a sentence and no half shard; with room, it goes on where it was."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.store import packed, shard_writer
from lmim_kedro.crops.store.shard_writer import ShardWriter
from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams

NAMESPACE = ["unshare", "--user", "--mount", "--map-root-user", "sh", "-ec"]
SMALL_DISK = """
mount -t tmpfs -o size=1m small "$1"
set +e
"$2" -c "$3" "$1" "$4"
set -e
ls "$1"/store/shards
mount -o remount,size=8m "$1"
"$2" -c "$3" "$1" "$4"
cp -r "$1"/store "$5"
"""
INGEST = """
import sys
from pathlib import Path
from lmim_kedro.crops.ingest.export_lmdb import export
from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams
disk, raw = map(Path, sys.argv[1:])
for write in (
    lambda: export(raw, disk / "lmdb"),
    lambda: prepare([open_source("a", {"path": raw})], IngestParams(workers=1, shard_crops=50), disk / "store", False),
):
    try:
        write()
        print("written")
    except InputError as error:
        print("InputError", error)
(disk / "lmdb" / "data.mdb").unlink(missing_ok=True)
"""


def noise(number):
    pixels = np.random.default_rng(number).integers(0, 256, (32, 128, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("[!.]*") if path.is_file()}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """An LMDB of 120 crops with 12 KB each."""
    folder = tmp_path_factory.mktemp("raw") / "lmdb"
    with ShardWriter(folder) as writer:
        for number in range(120):
            writer.add(noise(number), f"w{number}")
    return folder


def run(raw, folder, **params):
    params = IngestParams(workers=1, shard_crops=50, **params)
    return prepare([open_source("a", {"path": str(raw)})], params, folder, need_labels=True)


def small_disks():
    try:
        mounted = [*NAMESPACE, 'mount -t tmpfs -o size=1m small "$0"', "/tmp"]
        return subprocess.run(mounted, capture_output=True, timeout=10).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not small_disks(), reason="this system lets nobody mount a small disk for a test")
def test_disk_of_one_mebibyte_keeps_whole_shards_and_the_next_run_goes_on(tmp_path, raw):
    disk = tmp_path / "disk"
    disk.mkdir()
    words = [disk, sys.executable, INGEST, raw, tmp_path / "copy"]
    ended = subprocess.run([*NAMESPACE, SMALL_DISK, "sh", *map(str, words)], capture_output=True, text=True, timeout=60)
    lines = ended.stdout.splitlines()
    assert ended.returncode == 0, ended.stderr
    assert lines[0].startswith(f"InputError the disk of {disk} became full after ")
    assert lines[1].startswith(f"InputError the disk of {disk}/store/shards became full after ")
    assert "of 00001.lmdb: make room" in lines[1]
    assert lines[2:] == ["00000.lmdb", "written", "written"]
    run(raw, tmp_path / "whole")
    assert contents(tmp_path / "copy") == contents(tmp_path / "whole")


def no_room(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("place", "name"), [(pq, "write_table"), (Path, "mkdir"), (os, "fsync"), (shard_writer.lmdb, "open")]
)
def test_wherever_room_runs_out_there_is_no_half_shard(tmp_path, monkeypatch, raw, place, name):
    source = open_source("a", {"path": str(raw)})
    (tmp_path / "store" / "shards").mkdir(parents=True)
    with monkeypatch.context() as patch, pytest.raises(InputError, match="became full (after|while) .*: make room"):
        patch.setattr(place, name, no_room)
        prepare([source], IngestParams(workers=1), tmp_path / "store", need_labels=True)
    assert contents(tmp_path) == {}


def test_no_room_for_the_card_keeps_the_shards(tmp_path, monkeypatch, raw):
    with monkeypatch.context() as patch, pytest.raises(InputError, match="became full when all shards were there"):
        patch.setattr(packed, "write_json", no_room)
        run(raw, tmp_path / "store")
    assert len(list(tmp_path.glob("store/shards/*.lmdb"))) == 3
    assert not (tmp_path / "store" / "store.json").exists()


def test_other_errors_of_the_disk_stay_what_they_are(tmp_path, monkeypatch, raw):
    def worn_out(*arguments, **options):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(pq, "write_table", worn_out)
    with pytest.raises(OSError, match="Input/output error"):
        run(raw, tmp_path / "store")
    assert contents(tmp_path) == {}


def test_file_without_room_is_never_taken_for_the_old_one(tmp_path, monkeypatch):
    packed.write_json(tmp_path / "card.json", {"a": 1})
    with monkeypatch.context() as patch, pytest.raises(InputError, match="full while card.json was written: make room"):
        patch.setattr(Path, "replace", no_room)
        packed.write_json(tmp_path / "card.json", {"a": 2})
    assert contents(tmp_path) == {Path("card.json"): b'{\n  "a": 1\n}\n'}


def test_map_grows_while_an_ingest_writes_more_than_the_first_map(tmp_path, monkeypatch, raw):
    monkeypatch.setattr(ShardWriter.__init__, "__defaults__", (2**16,))
    grown = run(raw, tmp_path / "grown")
    monkeypatch.undo()
    every = range(120)
    assert grown.fetch(every) == run(raw, tmp_path / "whole").fetch(every) == [noise(number) for number in every]


def test_crop_larger_than_the_map_is_written(tmp_path):
    large = os.urandom(5 * 2**20)
    with ShardWriter(tmp_path / "0.lmdb", first_map=2**16) as writer:
        writer.add(large, None)
    with lmdb.open(str(tmp_path / "0.lmdb"), readonly=True, lock=False) as env, env.begin() as txn:
        assert txn.get(b"image-000000001") == large
