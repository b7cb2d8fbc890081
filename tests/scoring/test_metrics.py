from __future__ import annotations

import math
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lmim_kedro.errors import InputError
from lmim_kedro.params import EvaluationParams
from lmim_kedro.registries import METRICS
from lmim_kedro.scoring.compare import Comparison, compare
from lmim_kedro.scoring.metrics import Metric, Score, bootstrap_interval, judge_readings, score, verdicts

PREDICTIONS = ["hello", "It's", "its", "abc", "", "X"]
LABELS = ["Hello", "It's", "It's", "abd", "word", "--"]


@pytest.mark.parametrize(
    ("metric", "right", "count"),
    [("waics", 3, 5), ("case_sensitive", 1, 5), ("exact", 1, 6)],
)
def test_each_metric_counts_what_it_means_to_count(metric: str, right: int, count: int) -> None:
    result = score(PREDICTIONS, LABELS, metric)
    assert (np.nansum(result.credit), result.count, result.unscorable) == (right, count, 6 - count)
    assert result.accuracy == pytest.approx(right / count)


def test_label_that_becomes_empty_is_counted_apart_even_if_the_prediction_is_empty_too() -> None:
    result = score(["", "?", "a"], ["...", "!", "a"], "waics")
    assert (result.count, result.unscorable, result.accuracy) == (1, 2, 1.0)
    assert np.isnan(result.credit).tolist() == [True, True, False]


def test_nothing_to_score_has_no_accuracy() -> None:
    result = score(["a"], ["?"], "waics")
    assert math.isnan(result.accuracy) and result.count == 0


def test_edit_distance_is_normalized_by_the_longer_text() -> None:
    result = score(["helo", "Hello-World", "", "ab"], ["hello", "helloworld", "abcd", "cd"], "ned")
    assert result.credit == pytest.approx([0.8, 1.0, 0.0, 0.0])
    assert score(["Ab"], ["ab-"], "ned_exact").credit == pytest.approx([1 / 3])


def test_edit_distance_equals_a_plain_dynamic_program() -> None:
    def distance(a: str, b: str) -> int:
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            above, row = row, [i]
            for j, y in enumerate(b, 1):
                row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
        return row[-1]

    draw = random.Random(1)
    words = ["".join(draw.choices("abc", k=draw.randint(1, 9))) for _ in range(200)]
    expected = [1 - distance(a, b) / max(len(a), len(b)) for a, b in zip(words[:100], words[100:], strict=True)]
    assert score(words[:100], words[100:], "ned").credit == pytest.approx(expected)


def test_chinese_compares_simplified_half_width_text() -> None:
    result = score(["\u6b22\u8fce,A", "\u6b22\u8fceA"], ["\u6b61\u8fce\uff0c\uff41"] * 2, "chinese")
    assert result.credit.tolist() == [1, 0]


def test_unknown_metric_and_unpaired_lists_are_refused() -> None:
    with pytest.raises(InputError, match="no metric 'wer': choose one of waics, case_sensitive, exact, chinese"):
        score([], [], "wer")
    with pytest.raises(InputError, match="1 predictions do not pair with 2 labels"):
        score(["a"], ["a", "b"], "waics")


def test_bootstrap_interval_covers_as_resampling_crops_does() -> None:
    draw = np.random.default_rng(3)
    result = Score((draw.random(400) < 0.7).astype(float))
    low, high = bootstrap_interval(result)
    resampled = [draw.choice(result.credit, 400).mean() for _ in range(4000)]
    assert (low, high) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])), abs=0.006)
    assert low < result.accuracy < high


def test_bootstrap_leaves_out_what_cannot_be_scored() -> None:
    credit = np.array([1.0, 0.0] * 50)
    with_gaps = np.concatenate([credit, np.full(900, np.nan)])
    assert bootstrap_interval(Score(credit)) == bootstrap_interval(Score(with_gaps))
    assert all(map(math.isnan, bootstrap_interval(Score(np.full(3, np.nan)))))


@pytest.mark.parametrize(("right", "low", "high"), [(0, 0, 0.4345), (5, 0.5655, 1)])
def test_interval_of_none_or_all_right_is_wilsons_and_not_a_point(right: int, low: float, high: float) -> None:
    interval = bootstrap_interval(Score(np.full(5, right / 5)))
    assert interval == pytest.approx((low, high), abs=1e-4)


def test_bootstrap_refuses_graded_credit() -> None:
    with pytest.raises(InputError, match="right and wrong"):
        bootstrap_interval(score(["helo"], ["hello"], "ned"))


def test_metric_added_from_outside_is_scored_judged_compared_and_a_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))
    METRICS.register("first_letter", Metric("first letter", lambda text: text[:1]))
    assert score(["ab", "b"], ["ac", "c"], "first_letter").credit.tolist() == [1, 0]
    assert judge_readings(readings(), manifest())["first_letter"].tolist() == [False, False, True]
    assert compare(["ab"], ["x"], ["a"], "first_letter") == Comparison(0, 0, 1, 0)
    assert evaluation("first_letter").metric == "first_letter"


def test_metric_of_the_tables_says_right_or_wrong() -> None:
    assert evaluation("case_sensitive").metric == "case_sensitive"
    with pytest.raises(ValueError, match="ned does not say right or wrong"):
        evaluation("ned")
    with pytest.raises(ValueError, match="'waics', 'case_sensitive'"):
        evaluation("wer")


def readings() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "benchmark": ["svt", "svt", "iiit5k"],
            "index": [0, 1, 2],
            "label": ["Word", "--", "abc"],
            "prediction": ["word", "", "abd"],
            "confidence": [0.9, 0.2, 0.5],
            "aspect": [2.0, 1.0, 3.0],
        }
    )


def manifest() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "store_index": [0, None, 1, 2],
            "key": ["image-1", "image-2", "image-3", "image-4"],
            "width": [10, 0, 30, 40],
            "height": [5, 0, 15, 20],
            "status": ["ok", "set aside", "ok", "ok"],
        }
    )


def test_judged_readings_carry_key_size_and_every_verdict() -> None:
    judged = judge_readings(readings(), manifest())
    assert judged["key"].tolist() == ["image-1", "image-3", "image-4"]
    assert judged[["width", "height"]].to_numpy().tolist() == [[10, 5], [30, 15], [40, 20]]
    assert judged["length"].tolist() == [4, 2, 3]
    assert judged["aspect"].tolist() == [2.0, 1.0, 3.0]
    assert judged["waics"].tolist() == [True, pd.NA, False]
    assert judged["exact"].tolist() == [False, False, False]
    assert judged["one_minus_ned"].tolist() == pytest.approx([1, math.nan, 2 / 3], nan_ok=True)
    assert set(verdicts()) <= set(judged)


def test_judged_readings_keep_what_the_reader_says_of_each_character() -> None:
    judged = judge_readings(readings().assign(confidences=[[0.9] * 4, [], [0.7, 0.8, 0.9]]), manifest())
    assert judged["confidences"].tolist()[2] == [0.7, 0.8, 0.9]
    assert {"benchmark", "key", "aspect", "length", "confidence"} <= set(judged)


def test_readings_of_another_store_are_refused() -> None:
    with pytest.raises(InputError, match="1 of 3 crops that were read are not in the manifest"):
        judge_readings(readings(), manifest().query("key != 'image-4'"))


def test_scoring_imports_no_torch() -> None:
    modules = "lmim_kedro.scoring.metrics, lmim_kedro.scoring.protocols, lmim_kedro.scoring.__main__"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def evaluation(metric: str) -> EvaluationParams:
    return EvaluationParams(
        metric=metric,
        labels="original",
        batch_size=1,
        looks=1,
        language="none",
        beside=None,
        attention_crops=1,
        attention_queries=1,
    )


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_bootstrap_interval_holds_the_share_that_was_asked_for(level: float) -> None:
    result = Score(np.repeat([1.0, 0.0], [700, 300]))
    reach = {0.5: 0.6745, 0.9: 1.6449}[level] * math.sqrt(0.7 * 0.3 / 1000)
    assert bootstrap_interval(result, level) == pytest.approx((0.7 - reach, 0.7 + reach), abs=0.002)


def test_interval_of_one_right_crop_is_not_that_of_all_right() -> None:
    low, high = bootstrap_interval(Score(np.array([1.0, 0.0])))
    assert (low, high) == (0, 1)


def test_judged_columns_come_in_a_fixed_order() -> None:
    columns = list(judge_readings(readings(), manifest()))
    first = ["benchmark", "key", "index", "label", "prediction", "confidence", *verdicts(), "one_minus_ned", "length"]
    assert columns == [*first, "aspect", "width", "height"]


def test_graded_metrics_are_no_verdicts() -> None:
    assert verdicts()[:4] == ("waics", "case_sensitive", "exact", "chinese") and "ned" not in verdicts()


def test_metric_is_a_verdict_unless_it_says_otherwise() -> None:
    assert not Metric("plain", str).graded
