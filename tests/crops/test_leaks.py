"""Crops of a benchmark are found among those to train on, and left out of training without being moved."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest

from lmim_kedro.crops.checks.leaks import LEAK_COLUMNS, choose_exclusions, draw_leaks, find_leaks, in_words
from lmim_kedro.crops.checks.same_picture import correlations
from lmim_kedro.crops.store.manifest import manifest_tables, summarize
from lmim_kedro.crops.store.packed import PackedStore, exclude
from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams

RULE = IngestParams()


@pytest.fixture
def sets(make_store, words):
    """Thirty words to train on, five of them in a benchmark: two as they are, three altered; and what they are."""
    trained = [words.draw(seed) for seed in range(30)]
    scored = [
        words.png(words.draw(100)),
        words.png(trained[3]),
        words.jpeg(trained[17], 60),
        words.png(cv2.convertScaleAbs(trained[18], alpha=0.8, beta=40)),
        words.jpeg(cv2.resize(trained[25], None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA), 90),
        words.png(trained[29]),
    ]
    encoded = [words.png(image) for image in trained]
    store = make_store("train", street=encoded[:20], signs=[b"broken", *encoded[20:]])
    return store, make_store("test", iiit=scored[:4], svt=scored[4:])


def test_exact_and_near_copies_are_found_with_their_names_and_no_other_crop(sets):
    leaks = find_leaks(*sets, RULE)
    assert tuple(leaks.columns) == LEAK_COLUMNS
    assert leaks[["source", "key", "store_index", "benchmark", "benchmark_key", "match"]].to_numpy().tolist() == [
        ["street", "k3", 3, "iiit", "k1", "exact"],
        ["street", "k17", 17, "iiit", "k2", "near"],
        ["street", "k18", 18, "iiit", "k3", "near"],
        ["signs", "k6", 25, "svt", "k0", "near"],
        ["signs", "k10", 29, "svt", "k1", "exact"],
    ]
    assert leaks["benchmark_index"].tolist() == [1, 2, 3, 4, 5]
    assert leaks["correlation"].between(0.9, 1).all()


def test_sets_without_a_common_crop_have_no_leaks(make_store, words):
    stores = [make_store(name, a=[words.png(words.draw(seed)) for seed in seeds])
              for name, seeds in (("x", range(20)), ("y", range(50, 70)))]  # fmt: skip
    leaks = find_leaks(*stores, RULE)
    assert leaks.empty and tuple(leaks.columns) == LEAK_COLUMNS
    assert choose_exclusions(leaks, leaks, leaks, RULE).empty
    assert in_words(leaks, RULE) == "no crop of a benchmark was found"


def test_crops_of_one_color_do_not_leak_unless_they_are_the_same_bytes(make_store, words):
    def blank(value):
        return words.png(np.full((20, 60, 3), value, np.uint8))

    leaks = find_leaks(make_store("x", a=[blank(9), blank(99)]), make_store("y", a=[blank(99), blank(200)]), RULE)
    assert leaks[["store_index", "benchmark_index", "match"]].to_numpy().tolist() == [[1, 0, "exact"]]


def test_same_word_on_another_background_or_in_another_shape_is_another_crop(make_store, words):
    word = words.draw(5)
    changed = word.copy()
    changed[:, :, 0] = 255 - changed[:, :, 0]
    wide = cv2.resize(word, None, fx=1.5, fy=1)
    store = make_store("x", a=[words.png(image) for image in (word, changed, wide)])
    same, painted, stretched = correlations(store, np.zeros(3, int), store, np.arange(3))
    assert same == pytest.approx(1, abs=1e-4)
    assert painted < 0.9
    assert stretched == 0


def test_copy_that_was_cut_a_little_tighter_is_the_same_crop(make_store, words):
    word = words.draw(6)
    store = make_store("x", a=[words.png(image) for image in (word, word[2:-2, 2:-2], word[1:-1, 1:-1])])
    left, right = np.array([0, 1, 0, 2]), np.array([1, 0, 2, 0])
    assert correlations(store, left, store, right) == pytest.approx([1] * 4, abs=1e-4)


def test_leaks_are_left_out_of_the_store_that_training_sees_and_stay_on_disk(sets):
    store, benchmarks = sets
    leaks = find_leaks(store, benchmarks, RULE)
    kept = exclude(store, choose_exclusions(leaks, leaks, leaks, RULE))
    assert (len(store), len(kept)) == (30, 25)
    places = [n for n in range(30) if n not in (3, 17, 18, 25, 29)]
    assert kept.whole_indices(range(25)).tolist() == places
    assert kept.fetch(range(25)) == store.fetch(places)
    assert [(source.name, source.start, source.stop) for source in kept.sources] == [
        ("street", 0, 17),
        ("signs", 17, 25),
    ]
    assert len(PackedStore(store.path)) == 25
    assert len(PackedStore(store.path, whole=True)) == 30
    with pytest.raises(IndexError, match="crop 25 is not in 0 ... 24"):
        kept.fetch([25])
    assert kept.fingerprint != store.fingerprint == kept.whole_fingerprint


def test_each_crop_that_is_left_out_keeps_its_row_with_the_reason(sets):
    store, benchmarks = sets
    leaks = find_leaks(store, benchmarks, RULE)
    kept = exclude(store, choose_exclusions(leaks, leaks, leaks, RULE))
    rows = pd.concat([table.to_pandas() for table in manifest_tables(kept)], ignore_index=True)
    out = rows[rows["status"] == "excluded"]
    assert out["store_index"].tolist() == [3, 17, 18, 25, 29]
    assert out["reason"].tolist()[:2] == ["leak: exact copy of iiit k1", "leak: near copy of iiit k2"]
    assert rows["status"].value_counts().to_dict() == {"ok": 25, "excluded": 5, "set aside": 1}
    whole = pd.concat([table.to_pandas() for table in manifest_tables(store)], ignore_index=True)
    pd.testing.assert_frame_equal(rows.drop(columns=["status", "reason"]), whole.drop(columns=["status", "reason"]))
    summary = summarize(manifest_tables(kept)).set_index("source")
    assert summary.loc["street", ["crops", "ok", "set_aside", "excluded", "reasons"]].tolist() == [
        20,
        17,
        0,
        3,
        "3 leak",
    ]
    assert summary.loc["all", ["ok", "set_aside", "excluded"]].tolist() == [25, 1, 5]


def test_leaks_are_only_reported_where_the_parameter_says_so(sets):
    store, benchmarks = sets
    rule = IngestParams(leaks="report")
    leaks = find_leaks(store, benchmarks, rule)
    kept = exclude(store, choose_exclusions(leaks, leaks, leaks, rule))
    assert (len(leaks), len(kept)) == (5, 30)
    assert kept.fingerprint == store.fingerprint
    assert in_words(leaks, rule).endswith("2 exact copies and 3 near ones, kept, as `ingest.leaks` says")


def test_list_of_crops_left_out_of_another_version_of_the_store_is_refused(make_store, words):
    pictures = [words.png(words.draw(seed)) for seed in range(4)]
    store = make_store("x", a=pictures)
    exclude(store, pd.DataFrame({"store_index": [1], "reason": ["leak: x"]}))
    made_anew = make_store("x", a=pictures[:3])
    assert len(made_anew) == 3
    with pytest.raises(InputError, match=r"excluded.parquet lists crops to leave out of another version"):
        PackedStore(store.path)


def test_sheet_shows_each_leak_beside_the_benchmark_crop(sets):
    store, benchmarks = sets
    leaks = find_leaks(store, benchmarks, RULE)
    sheet = draw_leaks(leaks, store, benchmarks)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    left, right = sheet[6:50, 6:186].astype(int), sheet[6:50, 192:372].astype(int)
    assert left.min() < 250
    assert abs(left - right).mean() < 25
    blank = draw_leaks(leaks.iloc[:0], store, benchmarks)
    assert blank.min() < 128 < blank.mean()
