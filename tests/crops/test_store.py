"""A packed store gives back what was put in, in any process; a shard is whole or not there."""

import os
import pickle
import shutil
from types import SimpleNamespace

import lmdb
import numpy as np
import pytest

from lmim_kedro.crops.store.packed import PackedStore, shard_folder, write_card
from lmim_kedro.crops.store.shard_writer import ShardWriter
from lmim_kedro.errors import InputError


def image(number):
    return f"image {number} ".encode() * (1 + number % 5)


@pytest.fixture
def store(tmp_path):
    """Two sources in three shards: 4 + 3 crops of street, 5 of signs."""
    shards = []
    for number, (source, numbers) in enumerate(
        [("street", range(4)), ("street", range(4, 7)), ("signs", range(7, 12))]
    ):
        with ShardWriter(shard_folder(tmp_path, number)) as writer:
            for crop in numbers:
                writer.add(image(crop), f"wörd {crop}")
        shards.append((writer.folder, source, writer.crops))
    return write_card(tmp_path, "f", True, shards)


def test_crops_and_labels_come_back_in_the_order_asked_for_with_repeats(store):
    indices = np.array([11, 0, 6, 7, 3, 4, 0])
    assert len(store) == 12
    assert store.fetch(indices) == [image(index) for index in indices]
    assert store.labels(indices) == [f"wörd {index}" for index in indices]


def test_sources_are_ranges_of_store_indices(store):
    assert [(source.name, source.start, source.stop) for source in store.sources] == [
        ("street", 0, 7),
        ("signs", 7, 12),
    ]


@pytest.mark.parametrize("index", [-1, 12])
def test_index_outside_the_store_is_an_error_not_another_crop(store, index):
    with pytest.raises(IndexError, match="not in 0 ... 11"):
        store.fetch([0, index])


def test_store_can_be_pickled_after_use_and_opened_twice(store):
    store.fetch([0])
    assert pickle.loads(pickle.dumps(store)).fetch([5]) == [image(5)]
    assert PackedStore(store.path).fetch([5]) == [image(5)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_child_reads_a_store_that_its_parent_has_open(store):
    store.fetch([0, 11])
    child = os.fork()
    if child == 0:
        os._exit(0 if store.fetch([0, 6, 11]) == [image(0), image(6), image(11)] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.fetch([6]) == [image(6)]


def test_shard_is_an_lmdb_that_other_tools_read(store):
    with lmdb.open(str(store.shards[1].folder), readonly=True, lock=False, create=False) as env, env.begin() as txn:
        assert int(txn.get(b"num-samples")) == 3
        assert txn.get(b"image-000000003") == image(6)
        assert txn.get(b"label-000000003").decode() == "wörd 6"


def test_missing_store_says_which_command_makes_it(tmp_path):
    with pytest.raises(InputError, match=r"no packed store at .*store.json is missing.*`kedro run --pipelines=ingest`"):
        PackedStore(tmp_path)


def test_labels_of_an_unlabeled_store_are_refused(tmp_path):
    with ShardWriter(shard_folder(tmp_path, 0)) as writer:
        writer.add(image(0), None)
    store = write_card(tmp_path, "f", False, [(writer.folder, "street", 1)])
    assert store.fetch([0]) == [image(0)]
    with pytest.raises(InputError, match=r"\(street\) has no labels"):
        store.labels([0])


def test_map_grows_with_the_crops(tmp_path):
    big = [os.urandom(50_000) for _ in range(40)]
    with ShardWriter(tmp_path / "0.lmdb", first_map=2**16) as writer:
        for crop in big:
            writer.add(crop, None)
    with lmdb.open(str(tmp_path / "0.lmdb"), readonly=True, lock=False) as env, env.begin() as txn:
        assert [txn.get(b"image-%09d" % number) for number in range(1, 41)] == big


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("bad")])
def test_interrupted_shard_leaves_nothing_and_keeps_the_whole_one_before(tmp_path, error):
    folder = tmp_path / "0.lmdb"
    with ShardWriter(folder) as writer:
        writer.add(image(1), None)
    with pytest.raises(type(error)), ShardWriter(folder) as writer:
        writer.add(image(2), None)
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["0.lmdb"]
    with lmdb.open(str(folder), readonly=True, lock=False) as env, env.begin() as txn:
        assert txn.get(b"image-000000001") == image(1)


def test_shard_that_another_worker_has_made_meanwhile_is_replaced_by_a_whole_one(tmp_path, monkeypatch):
    folder, replace = tmp_path / "0.lmdb", os.replace
    with ShardWriter(tmp_path / "other.lmdb") as other:
        other.add(image(1), None)

    def slow_replace(source, target):
        if target == folder and other.folder.exists():
            replace(other.folder, folder)
        replace(source, target)

    with ShardWriter(folder) as first, ShardWriter(folder) as second:
        assert first.part != second.part
        first.add(image(1), None)
        second.add(image(1), None)
        monkeypatch.setattr(os, "replace", slow_replace)
    assert [path.name for path in tmp_path.iterdir()] == ["0.lmdb"]
    with lmdb.open(str(folder), readonly=True, lock=False) as env, env.begin() as txn:
        assert (txn.get(b"num-samples"), txn.get(b"image-000000001")) == (b"1", image(1))


def test_shard_that_cannot_be_moved_leaves_the_one_before_in_its_place(tmp_path):
    folder = tmp_path / "0.lmdb"
    with ShardWriter(folder) as writer:
        writer.add(image(1), None)
    late = ShardWriter(folder)
    with pytest.raises(FileNotFoundError):
        late._move_into_place()
    with lmdb.open(str(folder), readonly=True, lock=False) as env, env.begin() as txn:
        assert txn.get(b"image-000000001") == image(1)


@pytest.mark.parametrize("error", [lmdb.DiskError("No space left on device"), lmdb.Error("Input/output error")])
def test_full_disk_is_a_sentence_and_no_half_shard(tmp_path, monkeypatch, error):
    def no_room(self):
        raise error

    monkeypatch.setattr(ShardWriter, "_commit", no_room)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with (
        pytest.raises(InputError, match="became full after 1 crops of 0.lmdb: make room"),
        ShardWriter(tmp_path / "0.lmdb") as writer,
    ):
        writer.add(image(0), None)
    assert list(tmp_path.iterdir()) == []


def test_store_made_anew_at_the_same_place_is_read_anew(store):
    assert store.fetch([0]) == [image(0)]
    with ShardWriter(store.shards[0].folder) as writer:
        writer.add(b"new", "new")
    again = write_card(store.path, "g", True, [(writer.folder, "street", 1)])
    assert (len(again), again.fetch([0])) == (1, [b"new"])
    assert [folder.name for folder in (store.path / "shards").iterdir()] == ["00000.lmdb"]
