"""Copies within a set are counted; many of one crop make a cluster that can be left out but for one."""

from __future__ import annotations

import numpy as np
import pytest

from lmim_kedro.crops.checks.duplicates import find_duplicates, list_clusters
from lmim_kedro.crops.checks.leaks import choose_exclusions
from lmim_kedro.crops.store.packed import exclude
from lmim_kedro.params import IngestParams


@pytest.fixture
def store(make_store, words):
    """A watermark, six exact and six nearly so, among other words; one word twice."""
    mark = words.draw(77)
    street = [words.png(words.draw(seed)) for seed in range(12)]
    cc = [words.png(mark)] * 6 + [words.jpeg(mark, quality) for quality in range(70, 94, 4)]
    return make_store("train", street=[*street, street[4]], cc=[words.png(words.draw(200)), *cc])


def test_copies_within_a_set_are_named_exact_or_near_and_the_first_is_neither(store):
    found = find_duplicates(store, IngestParams())
    assert found["store_index"].tolist() == [4, 12, *range(14, 26)]
    assert found["cluster"].tolist() == [4, 4, *[14] * 12]
    assert found["copy"].tolist() == ["first", "exact", "first", *["exact"] * 5, *["near"] * 6]
    assert found["source"].tolist() == ["street"] * 2 + ["cc"] * 12


def test_clusters_of_enough_crops_are_listed_with_one_that_stands_for_them(store):
    found = find_duplicates(store, IngestParams())
    rule = IngestParams(cluster_crops=3)
    assert list_clusters(found, store, rule).to_dict("records") == [
        {"cluster": 1, "source": "cc", "key": "k1", "store_index": 14, "crops": 12, "exact": 5, "status": "report"}
    ]
    both = list_clusters(found, store, IngestParams(cluster_crops=2))
    assert both["crops"].tolist() == [12, 2]
    assert list_clusters(found, store, IngestParams(cluster_crops=13)).empty


def test_clusters_are_left_out_but_for_one_crop_where_the_parameter_says_so(store):
    for clusters, kept in (("report", 26), ("exclude", 15)):
        rule = IngestParams(clusters=clusters, cluster_crops=3)
        found = find_duplicates(store, rule)
        listed = list_clusters(found, store, rule)
        none = found.iloc[:0].assign(match="", benchmark="", benchmark_key="")
        chosen = choose_exclusions(none, found, listed, rule)
        assert len(exclude(store, chosen)) == kept
    assert chosen["store_index"].tolist() == list(range(15, 26))
    assert set(chosen["reason"]) == {"cluster: like k1 of cc"}


def test_exact_copies_are_found_between_crops_that_hash_alike(make_store, words):
    black, white = (words.png(np.full((20, 60, 3), value, np.uint8)) for value in (0, 255))
    found = find_duplicates(make_store("x", a=[black, white, black, white]), IngestParams())
    assert found[["store_index", "cluster", "copy"]].to_numpy().tolist() == [
        [0, 0, "first"], [1, 1, "first"], [2, 0, "exact"], [3, 1, "exact"]
    ]  # fmt: skip


def test_set_without_copies_has_none(make_store, words):
    found = find_duplicates(make_store("x", a=[words.png(words.draw(seed)) for seed in range(5)]), IngestParams())
    assert found.empty
