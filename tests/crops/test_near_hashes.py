"""Near hashes are found without comparing all with all, and none is missed."""

from __future__ import annotations

import numpy as np
import pytest

from lmim_kedro.crops.checks import near_hashes
from lmim_kedro.crops.checks.near_hashes import join, near_neighbors, near_pairs


def random_hashes(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def flipped(value: np.uint64, bits: int, seed: int) -> np.uint64:
    for bit in np.random.default_rng(seed).choice(64, bits, replace=False):
        value ^= np.uint64(1) << np.uint64(bit)
    return value


@pytest.fixture(params=["compared", "banded"])
def way(request, monkeypatch):
    """Both ways of searching: a small set is compared with everything, a large one by its bands."""
    monkeypatch.setattr(near_hashes, "_FEW", 10**9 if request.param == "compared" else 0)


def test_every_pair_within_the_distance_is_found_and_no_other(way):
    right = random_hashes(60)
    left = np.array([flipped(right[n % 60], n % 16, n) for n in range(600)])
    expected = np.bitwise_count(left[:, None] ^ right) <= 10
    mine, other, distance = near_pairs(left, right, 10)
    assert list(zip(mine.tolist(), other.tolist(), strict=True)) == [tuple(pair) for pair in np.argwhere(expected)]
    assert np.array_equal(distance, np.bitwise_count(left[mine] ^ right[other]))
    assert distance.min() > 0 or distance.max() == 10


def test_hashes_that_occur_several_times_are_found_each_time(way):
    left, right = np.array([7, 9, 7, 2**40], np.uint64), np.array([7, 7], np.uint64)
    mine, other, distance = near_pairs(left, right, 0)
    assert list(zip(mine, other, distance, strict=True)) == [(0, 0, 0), (0, 1, 0), (2, 0, 0), (2, 1, 0)]


@pytest.mark.parametrize("sizes", [(0, 5), (5, 0), (0, 0)])
def test_empty_sets_have_no_pairs(way, sizes):
    assert [len(each) for each in near_pairs(random_hashes(sizes[0]), random_hashes(sizes[1]), 4)] == [0, 0, 0]


def test_copies_within_a_set_are_found_among_many():
    hashes = random_hashes(20_000)
    for number in range(200):
        hashes[10_000 + number] = flipped(hashes[number], number % 5, number)
    left, right, distance = near_neighbors(hashes, 4)
    assert set(zip(left.tolist(), right.tolist(), strict=True)) >= {(n, 10_000 + n) for n in range(200)}
    assert distance.max() == 4
    assert (left < right).all()


def test_thousands_of_equal_hashes_make_one_cluster_with_few_pairs():
    hashes = random_hashes(12_000)
    hashes[1::2] = hashes[1]
    left, right, _ = near_neighbors(hashes, 4)
    assert len(left) < 6_100
    assert np.bincount(join(len(hashes), left, right)).max() == 6_000


def test_one_hash_or_none_has_no_neighbors():
    for count in (0, 1):
        assert [len(each) for each in near_neighbors(random_hashes(count), 4)] == [0, 0, 0]


def test_things_are_joined_directly_and_through_others():
    chain = np.random.default_rng(1).permutation(1000)
    root = join(1003, chain[:-1], chain[1:])
    assert root[:1000].tolist() == [0] * 1000
    assert root[1000:].tolist() == [1000, 1001, 1002]
    assert join(3, np.empty(0, np.int64), np.empty(0, np.int64)).tolist() == [0, 1, 2]
