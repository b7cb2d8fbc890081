from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from lmim_kedro.errors import InputError
from lmim_kedro.reporting.scores import build_scores, summarize
from lmim_kedro.scoring.protocols import get_protocol


def constant(benchmark: str, right: int, count: int) -> pd.DataFrame:
    labels = ["a"] * count
    return pd.DataFrame(
        {"benchmark": benchmark, "label": labels, "prediction": ["a" if n < right else "b" for n in range(count)]}
    )


def test_scores_have_the_documented_form(predictions: pd.DataFrame, recipe: dict[str, Any]) -> None:
    scores = build_scores(predictions, recipe)
    assert (scores["env"], scores["variant"], scores["seed"]) == ("mini", "lmim", 3)
    assert list(scores["accuracy"]) == ["svt", "rendered"]  # as they were read
    for each in scores["accuracy"].values():
        assert list(each) == ["waics", "n", "unscorable", "case_sensitive", "exact", "one_minus_ned"]
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_accuracies_are_fractions_of_the_crops_that_can_be_scored(recipe: dict[str, Any]) -> None:
    predictions = pd.DataFrame(
        {"benchmark": "svt", "label": ["Ab", "cd", "--", "x-y"], "prediction": ["ab", "ce", "", "xy"]}
    )
    assert build_scores(predictions, recipe)["accuracy"]["svt"] == {
        "waics": pytest.approx(2 / 3, abs=1e-6),
        "n": 3,
        "unscorable": 1,
        "case_sensitive": pytest.approx(1 / 3, abs=1e-6),
        "exact": 0.0,
        "one_minus_ned": pytest.approx((1 + 0.5 + 1) / 3, abs=1e-6),
    }


def test_benchmark_without_scorable_labels_is_null_not_wrong(recipe: dict[str, Any]) -> None:
    predictions = pd.DataFrame({"benchmark": "svt", "label": ["--"], "prediction": ["--"]})
    scores = build_scores(predictions, recipe)
    assert scores["accuracy"]["svt"]["waics"] is None
    assert scores["accuracy"]["svt"]["exact"] == 1.0
    assert scores["interval_95"]["svt"] == [None, None]


def test_chinese_is_scored_as_chinese(recipe: dict[str, Any]) -> None:
    predictions = pd.DataFrame({"benchmark": "web", "label": ["\u6b61\uff0c", "--"], "prediction": ["\u6b22,", "--"]})
    web = build_scores(predictions, recipe, "chinese")["accuracy"]["web"]
    assert web == {"chinese": 1.0, "n": 2, "unscorable": 0, "exact": 0.5, "one_minus_ned": 1.0}


@pytest.mark.parametrize(("metric", "graded"), [("waics", 1), ("case_sensitive", 1), ("exact", 0.5), ("chinese", 0.75)])
def test_one_minus_ned_is_on_text_of_the_metrics_form(recipe: dict[str, Any], metric: str, graded: float) -> None:
    predictions = pd.DataFrame({"benchmark": "svt", "label": ["a-Bc"], "prediction": ["a+bc"]})
    assert build_scores(predictions, recipe, metric)["accuracy"]["svt"]["one_minus_ned"] == graded


def test_whole_protocol_is_averaged(recipe: dict[str, Any]) -> None:
    sizes = get_protocol("common_1015_2077").sizes
    frames = [constant(name, size if name == "iiit5k" else 0, size) for name, size in sizes.items()]
    scores = build_scores(pd.concat(frames), recipe)
    assert scores["averages"] == {
        "common_1015_2077": {
            "avg": pytest.approx(1 / 6, abs=1e-6),
            "weighted_avg": pytest.approx(3000 / 7672, abs=1e-6),
            "n": 7672,
            "labels": "original",
        }
    }
    assert scores["notes"][-1] == "cute80: none of 288 crops is right. What is read: the letter `b` and no other."
    assert len(scores["notes"]) == 5, "one for each test set without a right reading"


def test_labels_are_recorded_and_only_the_common_benchmarks_have_corrected_ones(recipe: dict[str, Any]) -> None:
    common = [constant(name, 1, size) for name, size in get_protocol("common_1015_2077").sizes.items()]
    union14m = [constant(name, 1, size) for name, size in get_protocol("union14m").sizes.items() if size < 4000]
    union14m.append(constant("general", 1, 400_000))
    scores = build_scores(pd.concat(common + union14m), recipe, labels="corrected")
    assert scores["labels"] == "corrected"
    assert {name: average["labels"] for name, average in scores["averages"].items()} == {
        "common_1015_2077": "corrected",
        "union14m": "original",
    }


def test_calibration_error_is_that_of_all_crops_and_null_without_confidences(recipe: dict[str, Any]) -> None:
    predictions = pd.concat([constant("svt", 1, 2), constant("iiit5k", 1, 2)])
    assert build_scores(predictions, recipe)["calibration_error"] is None
    assert build_scores(predictions.assign(confidence=0.95), recipe)["calibration_error"] == pytest.approx(0.45)


def test_protocol_with_a_test_set_of_the_wrong_size_is_not_averaged_and_says_why(recipe: dict[str, Any]) -> None:
    sizes = get_protocol("common_1015_2077").sizes | {"svt": 646}
    scores = build_scores(pd.concat([constant(name, size, size) for name, size in sizes.items()]), recipe)
    assert scores["averages"] == {}
    assert scores["notes"][0] == "svt has 646 crops here; the published test set has 647."
    assert "No average over common_1015_2077" in scores["notes"][1]


def test_another_recognizers_accuracy_is_given_beside_each_benchmark(recipe: dict[str, Any]) -> None:
    predictions = pd.concat([constant("svt", 1, 4), constant("cute80", 3, 4)])
    assert build_scores(predictions, recipe, beside="ready")["beside"] is None
    predictions["beside"] = ["a", "a", "a", "b", "b", "b", "b", "b"]
    found = build_scores(predictions, recipe, beside="ready")
    assert found["beside"] == {"recognizer": "ready", "accuracy": {"svt": 0.75, "cute80": 0.0}}
    assert [each["waics"] for each in found["accuracy"].values()] == [0.25, 0.75]


def test_more_looks_than_one_are_told(predictions: pd.DataFrame, recipe: dict[str, Any]) -> None:
    assert not any("margins" in note for note in build_scores(predictions, recipe)["notes"])
    scores = build_scores(predictions, recipe, looks=3)
    assert scores["looks"] == 3 and "read with 3 margins" in scores["notes"][0]


def test_a_language_model_is_told(predictions: pd.DataFrame, recipe: dict[str, Any]) -> None:
    assert not any("language model" in note for note in build_scores(predictions, recipe)["notes"])
    scores = build_scores(predictions, recipe, language="english")
    assert scores["language"] == "english" and "A language model (english) chose" in scores["notes"][0]


def test_no_predictions_are_refused(predictions: pd.DataFrame, recipe: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="no predictions to score"):
        build_scores(predictions.head(0), recipe)


def test_summary_counts_benchmarks_the_same_and_leaves_out_what_cannot_be_scored() -> None:
    scores = {
        "metric": "waics",
        "accuracy": {
            "large": {"waics": 0.5, "one_minus_ned": 0.7, "n": 900},
            "small": {"waics": 1.0, "one_minus_ned": 1.0, "n": 100},
            "symbols": {"waics": None, "one_minus_ned": None, "n": 0},
        },
    }
    expected = {"waics_percent": 75.0, "one_minus_ned_percent": 85.0, "benchmarks": 2, "crops": 1000}
    assert summarize(scores) == expected
    nothing = summarize(scores | {"accuracy": {"symbols": scores["accuracy"]["symbols"]}})  # type: ignore[index]
    assert (nothing["waics_percent"], nothing["crops"]) == (None, 0)


def test_benchmarks_without_crops_are_not_there_and_the_others_keep_their_order(recipe: dict[str, Any]) -> None:
    names = pd.Categorical(["svt", "iiit5k"], categories=["cute80", "iiit5k", "svt"])
    scores = build_scores(pd.DataFrame({"benchmark": names, "label": "a", "prediction": "a"}), recipe)
    assert list(scores["accuracy"]) == ["svt", "iiit5k"]


def test_scores_have_six_decimals(recipe: dict[str, Any]) -> None:
    predictions = pd.DataFrame({"benchmark": "rendered", "label": list("aaa"), "prediction": list("aab")})
    scores = build_scores(predictions.assign(confidence=0.95), recipe)
    assert scores["accuracy"]["rendered"]["waics"] == 0.666667
    assert scores["calibration_error"] == 0.2833 and scores["notes"] == []
    assert build_scores(predictions.assign(confidence=1 / 3), recipe)["calibration_error"] == 0.3334
    assert summarize(scores)["waics_percent"] == 66.6667


def test_protocol_of_another_metric_is_not_averaged_and_its_sizes_count_what_cannot_be_scored(
    recipe: dict[str, Any],
) -> None:
    sizes = get_protocol("common_857_1811").sizes
    whole = pd.concat([constant(name, size - 1, size - 1) for name, size in sizes.items()])
    symbols = pd.DataFrame({"benchmark": list(sizes), "label": "--", "prediction": "--"})
    scores = build_scores(pd.concat([whole, symbols]), recipe)
    assert list(scores["averages"]) == ["common_857_1811"] and scores["notes"] == []
    assert scores["averages"]["common_857_1811"]["n"] == 7248 - 6
    assert build_scores(pd.concat([whole, symbols]), recipe, "exact")["averages"] == {}
