from __future__ import annotations

import itertools
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lmim_kedro.cli import cli
from lmim_kedro.errors import InputError
from lmim_kedro.scoring.compare import Comparison, compare, pair_up, read_predictions, write_differences

LABELS = ["Cat", "dog", "bird", "fish", "--", "cow"]


def table(predictions: list[str], labels: list[str] = LABELS) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "benchmark": ["svt"] * 3 + ["iiit5k"] * (len(labels) - 3),
            "key": [f"image-{n}" for n in (1, 2, 3, 1, 2, 3)][: len(labels)],
            "label": labels,
            "prediction": predictions,
            "confidence": 0.5,
        }
    )


A = table(["cat", "dig", "bird", "fish", "x", "caw"])
B = table(["cat", "dog", "bind", "fish", "--", "cow"])


def test_crops_are_counted_by_who_reads_them_right() -> None:
    result = compare(LABELS, A["prediction"].tolist(), B["prediction"].tolist())
    assert result == Comparison(both=2, only_a=1, only_b=2, neither=0, unscorable=1)
    assert result.difference == pytest.approx(1 / 5)
    assert compare(["Cat"], ["cat"], ["Cat"], "exact") == Comparison(0, 0, 1, 0)


@pytest.mark.parametrize("only_a", range(6))
@pytest.mark.parametrize("only_b", range(6))
def test_p_value_is_that_of_every_way_in_which_coins_can_fall(only_a: int, only_b: int) -> None:
    """Enumerate: how many of the 2^n assignments of the differing crops are at least as lopsided as this one."""
    differ = only_a + only_b
    falls = [abs(2 * sum(coins) - differ) for coins in itertools.product((0, 1), repeat=differ)]
    expected = Fraction(sum(fall >= abs(only_a - only_b) for fall in falls), len(falls))
    assert Comparison(50, only_a, only_b, 9).p_value == pytest.approx(float(expected))


def test_p_value_of_large_files_is_neither_zero_nor_an_overflow() -> None:
    assert 0 < Comparison(300_000, 21_000, 20_000, 1000).p_value < 1e-5
    assert Comparison(0, 20_000, 20_000, 0).p_value == 1


def test_interval_of_the_difference_is_that_of_resampled_pairs() -> None:
    result = Comparison(both=200, only_a=30, only_b=55, neither=115)
    signs = np.repeat([0, -1, 1, 0], [200, 30, 55, 115])
    draw = np.random.default_rng(2)
    resampled = [draw.choice(signs, 400).mean() for _ in range(4000)]
    assert result.interval() == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])), abs=0.008)
    low, high = result.interval()
    assert low < result.difference < high


def test_difference_that_the_test_calls_chance_has_an_interval_around_zero() -> None:
    low, high = Comparison(200, 20, 22, 10).interval()
    assert low < 0 < high
    assert Comparison(200, 20, 22, 10).p_value > 0.5


def test_crops_are_paired_by_name_and_not_by_their_order() -> None:
    shuffled = B.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(pair_up(A, shuffled), pair_up(A, B))
    assert pair_up(A, shuffled)["prediction_b"].tolist() == B["prediction"].tolist()
    assert pair_up(A, shuffled)["key"].tolist() == A["key"].tolist()


def test_other_crops_are_refused_with_the_first_of_them() -> None:
    with pytest.raises(InputError, match=r"not the same: 1 are in A alone \(the first is iiit5k image-3\)"):
        pair_up(A, B.iloc[:5])
    with pytest.raises(InputError, match="1 are in second alone"):
        pair_up(A.iloc[1:], B, ("first", "second"))
    with pytest.raises(InputError, match="A holds 1 crops more than once"):
        pair_up(pd.concat([A, A.head(1)]), B)


def test_other_labels_are_refused() -> None:
    corrected = B.assign(label=["Cat", "dog", "Bird!", "fish", "--", "cow"])
    with pytest.raises(InputError, match=r"1 crops have another label in B .*image-3: 'bird' and 'Bird!'.*corrected"):
        pair_up(A, corrected)


def test_graded_metric_is_refused() -> None:
    with pytest.raises(InputError, match="`ned` does not say right or wrong: compare by one of waics"):
        compare(["a"], ["a"], ["a"], "ned")


def main(arguments: list[str]) -> int:
    """`lmim-kedro compare`; its exit status."""
    return cli.main(["compare", *arguments], standalone_mode=False) or 0


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    for name, each in (("a", A), ("b", B)):
        each.to_parquet(tmp_path / f"{name}.parquet")
    return str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")


def test_command_prints_a_table_and_writes_the_crops_that_differ(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*files, "--differences", str(tmp_path / "d.csv")]) == 0
    printed = capsys.readouterr().out
    rows = dict(line.split("  ", 1) for line in printed.splitlines() if "  " in line)
    rows = {name: value.strip() for name, value in rows.items()}
    assert rows["crops"] == "5 (1 more cannot be scored)"
    assert (rows["both right"], rows["only A right"], rows["only B right"]) == ("2", "1", "2")
    assert rows["B - A"].startswith("+20.00 points (95 %: -40.00 to +80.00)")
    assert rows["p (McNemar, exact)"] == "1"
    differing = pd.read_csv(tmp_path / "d.csv")
    assert differing["right"].tolist() == ["B", "A", "B"]
    assert differing["prediction_a"].tolist() == ["dig", "bird", "caw"]
    assert {"benchmark", "key", "label", "prediction_b", "confidence_a", "confidence_b"} <= set(differing)


def test_prediction_files_of_others_are_compared_by_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, read in (("a", "cat"), ("b", "dog")):
        (tmp_path / f"{name}.txt").write_text(f"0 [x] [x]\n1 [{read}] [dog]\n")
    assert main([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]) == 0
    assert "only B right        1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "cannot be read .there is no such file"),
        (lambda path: path.write_bytes(b"PAR?"), "cannot be read"),
        (lambda path: A.drop(columns="key").to_parquet(path), r"has no column key \(it has benchmark, label"),
    ],
)
def test_unusable_files_are_refused(make, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    make(path)
    with pytest.raises(InputError, match=sentence):
        read_predictions(path)


def test_command_fails_with_the_sentence_alone(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    A.head(2).to_parquet(tmp_path / "short.parquet")
    assert main([files[0], str(tmp_path / "short.parquet")]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and "not the same: 4 are in" in printed.err


def test_nothing_to_compare_has_no_difference() -> None:
    assert math.isnan(Comparison(0, 0, 0, 0).difference)
    assert all(map(math.isnan, Comparison(0, 0, 0, 0).interval()))


def test_comparing_imports_no_torch() -> None:
    code = "import sys, lmim_kedro.scoring.compare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_table_is_in_two_columns_with_accuracies_of_both() -> None:
    lines = Comparison(both=8000, only_a=2, only_b=1992, neither=6, unscorable=1).table("waics").splitlines()
    assert lines[0] == "crops               10,000 (1 more cannot be scored)"
    assert lines[1] == "both right          8,000" and lines[4] == "both wrong          6"
    assert lines[5:7] == ["WAICS of A          80.02 %", "WAICS of B          99.92 %"]
    assert lines[7].startswith("B - A               +19.90 points (95 %: +19.")
    assert Comparison(1, 1, 0, 0).table("exact").splitlines()[0] == "crops               2"


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_interval_holds_the_share_of_samples_that_was_asked_for(level: float) -> None:
    result = Comparison(both=200, only_a=30, only_b=55, neither=115)
    deviation = math.sqrt((85 / 400 - (25 / 400) ** 2) / 400)
    reach = {0.5: 0.6745, 0.9: 1.6449}[level] * deviation
    assert result.interval(level) == pytest.approx((0.0625 - reach, 0.0625 + reach), abs=0.003)


def test_files_without_keys_are_keyed_by_line_from_1(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 [x] [y]\n1 [z] [dog]\n")
    found = read_predictions(tmp_path / "a.txt")
    assert found.to_dict("list") == {
        "benchmark": ["", ""], "key": ["1", "2"], "label": ["y", "dog"], "prediction": ["x", "z"],
    }  # fmt: skip


def test_pairs_have_the_confidences_that_are_known_and_one_label() -> None:
    assert list(pair_up(A, B)) == [
        *("benchmark", "key", "label", "prediction_a", "confidence_a", "prediction_b", "confidence_b"),
    ]
    assert "confidence_a" not in pair_up(A.drop(columns="confidence"), B)
    assert pair_up(A, B)["label"].tolist() == LABELS


def test_differences_are_written_without_a_column_of_numbers(tmp_path: Path) -> None:
    assert write_differences(pair_up(A, B), "waics", tmp_path / "d.csv") == 3
    assert (tmp_path / "d.csv").read_text().startswith('"benchmark","key","label",')
    with pytest.raises(InputError, match="give another --differences"):
        write_differences(pair_up(A, B), "waics", tmp_path)


def test_old_name_of_the_command_works(files: tuple[str, str]) -> None:
    command = [sys.executable, "-m", "lmim_kedro.scoring.compare", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "only B right" in done.stdout
