"""A user's LMDB, however damaged, ends in crops with reasons or in a sentence; never does it end the process."""

import os
import shutil
from collections import Counter
from pathlib import Path

import lmdb
import pytest
from tests.crops import mutated_lmdbs

from lmim_kedro.crops.sources import lmdb_process
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.errors import InputError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a whole LMDB of 300 crops, and the hash of each crop."""
    folder = tmp_path_factory.mktemp("whole") / "lmdb"
    return folder, mutated_lmdbs.make(folder)


@pytest.mark.parametrize("seed", range(21))
def test_mutated_lmdb_ends_in_crops_or_in_a_sentence(tmp_path, whole, seed):
    folder, hashes = whole
    shutil.copytree(folder, tmp_path / "x")
    mutated_lmdbs.mutate(tmp_path / "x" / "data.mdb", seed)
    assert mutated_lmdbs.outcome(tmp_path / "x", hashes)


def test_lmdb_that_lacks_its_last_page_is_a_sentence_and_not_a_bus_error(tmp_path, whole):
    shutil.copytree(whole[0], tmp_path / "x")
    data = tmp_path / "x" / "data.mdb"
    for pages in (20, 35):
        os.truncate(data, data.stat().st_size - pages * mutated_lmdbs.PAGE)
        with pytest.raises(InputError, match=r"the LMDB .*x is damaged: the process that read it died \(.+\); copy or"):
            mutated_lmdbs.read(tmp_path / "x")
    assert len(mutated_lmdbs.read(whole[0])) == 300, "others are read as before"


def write(folder, entries):
    folder.mkdir()
    with lmdb.open(str(folder), lock=False) as env, env.begin(write=True) as txn:
        for key, value in entries.items():
            txn.put(key.encode(), value)
    return folder


def opened(folder):
    return open_source("a", {"path": str(folder)})


@pytest.mark.parametrize(
    ("count", "sentence"),
    [
        (b"99999999999999999999", "has num-samples = 99,999,999,999,999,999,999 and 3 keys: nearly all crops would be"),
        (b"31", "has num-samples = 31 and 3 keys"),
        (b"-2", "has num-samples = b'-2' and the image key b'image-000000001': a decimal number"),
        (b"two", "has num-samples = b'two'"),
        (b"", "has num-samples = b''"),
        (b"9" * 5000, "has num-samples = b'99999999999999999999'"),
        ("²".encode(), "has num-samples = "),
    ],
)
def test_wrong_number_of_samples_is_a_sentence(tmp_path, count, sentence):
    folder = write(tmp_path / "x", {"num-samples": count, "image-000000001": b"a", "image-000000002": b"b"})
    with pytest.raises(InputError, match=sentence):
        opened(folder)


def test_some_missing_crops_keep_their_places(tmp_path):
    source = opened(write(tmp_path / "x", {"num-samples": b"4", "image-000000003": b"a"}))
    assert [crop.reason for crop in source.read(0, 4)] == [
        *["missing image: the LMDB has no such key"] * 2, None, "missing image: the LMDB has no such key",
    ]  # fmt: skip


def test_large_image_and_large_label_keep_their_places_with_the_reason(tmp_path):
    entries = {"image-000000001": bytes(5000), "label-000000001": b"a" * 200_000, "image-000000002": bytes(50)}
    source = opened(write(tmp_path / "x", {"num-samples": b"2", "label-000000002": b"door", **entries}))
    assert [(crop.label, crop.reason) for crop in source.read(0, 2)] == [
        (None, "bad label: more than 100,000 bytes"), ("door", None),
    ]  # fmt: skip
    limited = [(crop.data is None, crop.reason) for crop in source.limited(4999).read(0, 2)]
    assert limited == [(True, "unreadable file: 5,000 bytes, and 4,999 are the most"), (False, None)]


def test_readings_of_one_lmdb_that_overlap_do_not_mix(whole):
    source = opened(whole[0])
    first, second = source.read(0, 300), source.read(100, 300)
    pairs = [(next(first).key, next(second).key) for _ in range(150)]
    assert pairs[0] == ("image-000000001", "image-000000101") and pairs[-1] == ("image-000000150", "image-000000250")
    first.close()
    assert [crop.key for crop in source.read(7, 9)] == ["image-000000008", "image-000000009"]


def test_process_is_kept_for_the_next_reading_and_no_more_than_eight_wait(tmp_path, whole):
    for number in range(10):
        shutil.copytree(whole[0], tmp_path / f"{number}")
        list(opened(tmp_path / f"{number}").read(0, 1))
    assert len(lmdb_process._idle) == 8
    kept = [process for _, process in lmdb_process._idle]
    assert next(opened(tmp_path / "9").read(5, 6)).key == "image-000000006"
    assert Counter(id(process) for _, process in lmdb_process._idle) <= Counter(map(id, kept))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_child_reads_what_its_parent_reads(whole):
    source = opened(whole[0])
    reading = source.read(0, 300)
    next(reading)
    child = os.fork()
    if child == 0:
        try:
            found = [crop.key for crop in source.read(200, 202)]
        finally:
            os._exit(0 if found == ["image-000000201", "image-000000202"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(list(reading)) == 299


def test_lmdb_that_is_removed_meanwhile_is_a_sentence(tmp_path, whole):
    shutil.copytree(whole[0], tmp_path / "x")
    source = opened(tmp_path / "x")
    shutil.rmtree(tmp_path / "x")
    with pytest.raises(InputError, match="no LMDB at .*x: a folder with data.mdb was expected"):
        list(source.read(0, 1))


def test_pipe_in_the_place_of_data_mdb_is_a_sentence(tmp_path):
    os.mkfifo(tmp_path / "data.mdb")
    with pytest.raises(InputError, match="data.mdb"):
        open_source("a", {"path": str(tmp_path), "format": "lmdb"})
    with pytest.raises(InputError, match="data.mdb is a pipe"):
        open_source("a", {"path": str(Path(tmp_path) / "data.mdb")})
