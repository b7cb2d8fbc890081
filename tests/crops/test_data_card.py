"""The data card counts what a user must know before training on a set."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from lmim_kedro.crops.checks.data_card import LabelRule, describe_data, describe_sources
from lmim_kedro.crops.store.manifest import manifest_tables
from lmim_kedro.crops.store.packed import exclude
from lmim_kedro.params import IngestParams

RULE = LabelRule(frozenset("abcdefgh"), 4)
NO_COPIES = pd.DataFrame({"store_index": [], "cluster": [], "source": [], "copy": []})
NO_LEAKS = pd.DataFrame({"source": [], "store_index": [], "match": [], "benchmark": [], "benchmark_index": []})


def blank(words, width, height):
    return words.png(np.full((height, width, 3), 50, np.uint8))


def test_labels_are_checked_against_characters_and_length(make_store, words):
    labels = ["abc", "abcd", "abcde", "aé é", "", "  ", "bad!"]
    store = make_store("x", labels={"s": labels}, s=[blank(words, 20, 10 + n) for n in range(7)])
    card = describe_sources(store, NO_COPIES, NO_LEAKS, RULE).iloc[0]
    assert (card["labels_empty"], card["labels_too_long"], card["labels_outside"]) == (2, 1, 3)
    assert card["outside"] == "␣ 3, é 2, ! 1"
    assert card["most_frequent"].startswith("a 5, b 4")
    assert (card["labeled"], card["label_length_max"]) == (6, 5)
    assert (card["crops"], card["ok"], card["set_aside"], card["reasons"]) == (7, 6, 1, "1 empty label")


def test_sizes_are_quantiles_of_the_crops_that_are_used(make_store, words):
    store = make_store("x", s=[blank(words, width, 10) for width in range(10, 31)], t=[blank(words, 40, 40)])
    card = describe_sources(store, NO_COPIES, NO_LEAKS, RULE).set_index("source")
    assert card.loc["s", ["width_5", "width_50", "width_95", "height_50"]].tolist() == [11, 20, 29, 10]
    assert card.loc["s", ["aspect_5", "aspect_50", "aspect_95"]].tolist() == [1.1, 2.0, 2.9]
    assert card.loc["t", ["width_50", "aspect_50", "labeled"]].tolist() == [40, 1, 0]


def test_copies_leaks_and_crops_left_out_are_counted_by_source(make_store, words):
    store = make_store("x", s=[blank(words, 20 + n, 10) for n in range(6)], t=[blank(words, 40, 40)])
    copies = pd.DataFrame({"store_index": [0, 1, 2], "source": ["s"] * 3, "copy": ["first", "near", "exact"]})
    leaks = pd.DataFrame({"source": ["s"] * 3, "store_index": [4, 4, 5], "match": ["near", "exact", "near"]})
    kept = exclude(store, pd.DataFrame({"store_index": [4, 5], "reason": ["leak: a", "leak: b"]}))
    card = describe_sources(kept, copies, leaks, RULE).set_index("source")
    counts = ["ok", "excluded", "reasons", "duplicates_exact", "duplicates_near", "leaks_exact", "leaks_near"]
    assert card.loc["s", counts].tolist() == [4, 2, "2 leak", 1, 1, 1, 1]
    assert card.loc["t", counts].tolist() == [1, 0, "", 0, 0, 0, 0]


def test_benchmarks_count_their_crops_that_are_in_a_set_to_train_on(make_store, words):
    stores = {f"{use}_crops": make_store(use, s=[blank(words, 20, 10)]) for use in ("pretraining", "finetuning")}
    stores["benchmarks_crops"] = make_store("benchmarks", iiit=[blank(words, 20 + n, 10) for n in range(3)])
    leaks = pd.DataFrame(
        {"source": ["s"], "store_index": [0], "benchmark": ["iiit"], "benchmark_index": [2], "match": ["near"]}
    )
    exact = leaks.assign(match="exact")
    duplicates = {f"{use}_duplicates": NO_COPIES for use in ("pretraining", "finetuning", "benchmarks")}
    found = stores | duplicates | {"pretraining_leaks": leaks, "finetuning_leaks": exact}
    card = describe_data(found, RULE)
    assert card[["use", "source", "leaks_exact", "leaks_near"]].to_numpy().tolist() == [
        ["pretraining", "s", 0, 1],
        ["finetuning", "s", 1, 0],
        ["benchmarks", "iiit", 1, 0],
    ]


def test_source_of_which_nothing_is_usable_has_a_row(make_store, words):
    card = describe_sources(make_store("x", s=[b"broken"], t=[blank(words, 20, 10)]), NO_COPIES, NO_LEAKS, RULE)
    assert card[["source", "ok", "set_aside"]].to_numpy().tolist() == [["s", 0, 1], ["t", 1, 0]]
    assert pd.isna(card.loc[0, "width_50"])


@pytest.mark.parametrize(("ratio", "turned"), [(None, [False] * 3), (2.0, [True, False, False])])
def test_tall_crops_are_stored_turned_counter_clockwise_and_noted(make_store, words, ratio, turned):
    tall = np.zeros((50, 20, 3), np.uint8)
    tall[:5] = 255  # a white bar at the top goes to the left
    images = [tall, np.zeros((40, 20, 3), np.uint8), np.zeros((20, 50, 3), np.uint8)]
    store = make_store("x", s=[words.png(image) for image in images], params={"rotate_tall": ratio})
    stored = cv2.imdecode(np.frombuffer(store.fetch([0])[0], np.uint8), 1)
    assert stored.shape[:2] == ((20, 50) if ratio else (50, 20))
    assert (stored[:, :5] if ratio else stored[:5]).min() == 255
    rows = next(iter(manifest_tables(store))).to_pandas()
    assert rows["turned"].tolist() == turned
    assert rows[["width", "height"]].iloc[0].tolist() == [20, 50]
    assert describe_sources(store, NO_COPIES, NO_LEAKS, RULE)["turned"].tolist() == [sum(turned)]
    assert IngestParams().rotate_tall is None
