from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lmim_kedro.errors import InputError
from lmim_kedro.scoring.analysis import (
    accuracy_by_aspect,
    accuracy_by_character,
    accuracy_by_length,
    calibration,
    calibration_error,
    confusions,
)


def read(pairs: list[tuple[str, str]], **columns: list[float]) -> pd.DataFrame:
    """Predictions of (label, prediction) pairs."""
    return pd.DataFrame(pairs, columns=["label", "prediction"]).assign(**columns)


def test_accuracy_by_length_counts_characters_of_the_label_and_leaves_out_what_cannot_be_scored() -> None:
    table = accuracy_by_length(
        read([("ab", "ab"), ("ab", "xy"), ("a-c", "ac"), ("--", ""), ("a" * 16, "a"), ("a" * 30, "a" * 30)]), "waics"
    )
    assert table[["length", "crops", "accuracy_percent"]].to_numpy().tolist() == [
        ["2", 2, 50.0],
        ["3", 1, 100.0],
        ["≥16", 2, 50.0],
    ]
    assert (table["low_percent"] <= table["accuracy_percent"]).all()
    assert (table["high_percent"] >= table["accuracy_percent"]).all()


def test_accuracy_by_aspect_parts_crops_at_whole_ratios() -> None:
    pairs = [("a", "a"), ("a", "b"), ("a", "a"), ("a", "a"), ("a", "b"), ("-", "-")]
    table = accuracy_by_aspect(read(pairs, aspect=[0.5, 1.0, 1.99, 2.0, 30.0, 3.0]), "waics")
    assert table[["aspect", "crops", "accuracy_percent"]].to_numpy().tolist() == [
        ["<1", 1, 100.0],
        ["1 to 2", 2, 50.0],
        ["2 to 3", 1, 100.0],
        ["≥8", 1, 0.0],
    ]
    assert accuracy_by_aspect(read(pairs), "waics").empty  # predictions of another program have no aspect


def test_every_crop_is_in_the_row_that_names_its_aspect() -> None:
    aspects = [0.2, 1, 2, 3, 4, 5, 6, 8]
    names = ["<1", "1 to 2", "2 to 3", "3 to 4", "4 to 5", "5 to 6", "6 to 8", "≥8"]
    table = accuracy_by_aspect(read([("a", "a")] * 8, aspect=[float(each) for each in aspects]), "waics")
    assert table["aspect"].tolist() == names and table["crops"].tolist() == [1] * 8


def test_confusions_tell_what_was_read_as_what() -> None:
    table = confusions(read([("O1", "01"), ("book", "b0ok"), ("cat", "ct"), ("sun", "sunn"), ("x", "x")]), "waics")
    rows = table[["kind", "label", "prediction", "count", "share_percent"]].astype(object)
    assert rows.where(rows.notna(), None).to_numpy().tolist() == [
        ["substitution", "o", "0", 2, 66.67],
        ["insertion", "", "n", 1, None],
        ["deletion", "a", "", 1, 100.0],
    ]
    assert table["example"].tolist() == ["o1: 01", "sun: sunn", "cat: ct"]


def test_example_of_a_confusion_is_the_one_with_the_fewest_other_edits() -> None:
    table = confusions(read([("bright", "bnqh"), ("rat", "nat"), ("red", "ned")]), "waics").set_index("label")
    assert table.loc["r", ["prediction", "count", "example"]].tolist() == ["n", 3, "rat: nat"]


def test_confusions_of_case_count_where_case_counts() -> None:
    pairs = read([("Ab", "ab")])
    assert confusions(pairs, "waics").empty
    assert confusions(pairs, "case_sensitive")[["label", "prediction"]].to_numpy().tolist() == [["A", "a"]]


def test_edits_of_a_table_add_up_to_the_edit_distances() -> None:
    from rapidfuzz.distance import Levenshtein

    draw = np.random.default_rng(0)
    words = ["".join(draw.choice(list("abc"), draw.integers(1, 8))) for _ in range(400)]
    pairs = list(zip(words[:200], words[200:], strict=True))
    table = confusions(read(pairs), "exact")
    assert table["count"].sum() == sum(Levenshtein.distance(label, prediction) for label, prediction in pairs)
    assert table["count"].is_monotonic_decreasing


def test_each_character_has_its_recall_and_precision() -> None:
    table = accuracy_by_character(read([("aab", "aac"), ("ab", "abb"), ("--", "q")]), "waics").set_index("character")
    assert table.loc["a", ["in_labels", "read", "written", "recall_percent", "precision_percent"]].tolist() == [
        3,
        3,
        3,
        100.0,
        100.0,
    ]
    assert table.loc["b"].tolist() == [2, 1, 2, 50.0, 50.0]
    assert table.loc["c", "in_labels"] == 0 and np.isnan(table.loc["c", "recall_percent"])
    assert "q" not in table.index  # its label cannot be scored
    assert table.index.tolist() == ["a", "b", "c"]


def test_calibration_puts_accuracy_beside_confidence() -> None:
    sure = [0.95, 0.91, 1.0, 0.15, 0.1, 0.5]
    pairs = [("a", "a"), ("a", "a"), ("a", "b"), ("a", "b"), ("a", "a"), ("-", "")]
    table = calibration(read(pairs, confidence=sure), "waics")
    assert table[["low", "high", "crops", "confidence_percent", "accuracy_percent"]].to_numpy().tolist() == [
        [0.1, 0.2, 2, 12.5, 50.0],
        [0.9, 1.0, 3, 95.33, 66.67],
    ]
    assert calibration_error(table) == pytest.approx((2 * 0.375 + 3 * 0.2866) / 5, abs=1e-4)


def test_recognizer_that_is_as_sure_as_it_is_right_has_no_calibration_error() -> None:
    draw = np.random.default_rng(1)
    sure = draw.random(40_000)
    pairs = [("a", "a" if right else "b") for right in draw.random(40_000) < sure]
    table = calibration(read(pairs, confidence=sure.tolist()), "waics")
    error = calibration_error(table)
    assert error is not None and error < 0.01
    halved = calibration_error(calibration(read(pairs, confidence=(sure / 2).tolist()), "waics"))
    assert halved == pytest.approx(0.25, abs=0.01)


def test_without_confidences_there_is_no_calibration() -> None:
    table = calibration(read([("a", "a")]), "waics")
    assert table.empty and calibration_error(table) is None


def test_confidence_that_is_none_is_refused() -> None:
    for bad in (1.5, -0.1, float("nan")):
        with pytest.raises(InputError, match="1 confidences are not between 0 and 1"):
            calibration(read([("a", "a")], confidence=[bad]), "waics")


def test_analysing_imports_no_torch() -> None:
    code = "import sys, lmim_kedro.scoring.analysis; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_lengths_of_16_and_more_share_a_row_and_no_others() -> None:
    pairs = [("a" * length, "a" * length) for length in (14, 15, 16, 17)]
    table = accuracy_by_length(read(pairs), "waics")
    assert table[["length", "crops"]].to_numpy().tolist() == [["14", 1], ["15", 1], ["≥16", 2]]


def test_percents_have_two_decimals() -> None:
    pairs = [("a", "a"), ("a", "a"), ("a", "b")]
    table = accuracy_by_length(read(pairs), "waics")
    assert table.loc[0, "accuracy_percent"] == 66.67
    sure = calibration(read(pairs, confidence=[0.91, 0.92, 0.92]), "waics")
    assert sure.loc[0, ["confidence_percent", "accuracy_percent"]].tolist() == [91.67, 66.67]
    recall = accuracy_by_character(read(pairs), "waics").set_index("character")
    assert recall.loc["a", "recall_percent"] == 66.67


def test_confidences_of_0_and_1_are_in_the_outer_bins() -> None:
    pairs = [("a", "a"), ("a", "b"), ("a", "a")]
    table = calibration(read(pairs, confidence=[0.0, 1.0, 0.3]), "waics")
    assert table[["low", "high", "crops"]].to_numpy().tolist() == [[0.0, 0.1, 1], [0.3, 0.4, 1], [0.9, 1.0, 1]]


def test_confusions_as_frequent_as_each_other_come_in_the_order_of_the_alphabet() -> None:
    table = confusions(read([("d", "e"), ("b", "c"), ("b", "a")]), "waics")
    assert table[["label", "prediction"]].to_numpy().tolist() == [["b", "a"], ["b", "c"], ["d", "e"]]
    assert confusions(read([("ra", "na"), ("ro", "no")]), "waics")["example"].tolist() == ["ra: na"], "the first"


def test_characters_as_frequent_as_each_other_come_in_the_order_of_the_alphabet() -> None:
    table = accuracy_by_character(read([("bbac", "bbac")]), "waics")
    assert table["character"].tolist() == ["b", "a", "c"] and table.index.tolist() == [0, 1, 2]
