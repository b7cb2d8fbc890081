from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import pytest

from lmim_kedro.errors import InputError
from lmim_kedro.reporting.paper.formats import summary, to_latex
from lmim_kedro.reporting.paper.ordering import compare_order, compare_paired
from lmim_kedro.reporting.paper.page import headline
from lmim_kedro.reporting.paper.results import Results, read_results
from lmim_kedro.reporting.paper.tables import AVG, BEYOND, MEAN, WEIGHTED, PaperTable, TableRow, build_tables
from lmim_kedro.scoring.compare import compare
from lmim_kedro.scoring.protocols import get_protocol

Shares = dict[str, float]


def predictions(sizes: dict[str, int], share: float, seed: int = 0, metric: str = "waics") -> pd.DataFrame:
    """Judged readings, `share` of each benchmark right; the last crop of each cannot be scored."""
    tables = []
    for benchmark, size in sizes.items():
        right = np.random.default_rng(seed).permutation(size - 1) < round(share * (size - 1))
        verdict = pd.array([*right.tolist(), pd.NA], dtype="boolean")
        keys = [f"{place:06d}" for place in range(size)]
        tables.append(pd.DataFrame({"benchmark": benchmark, "key": keys, "label": "word", metric: verdict}))
    return pd.concat(tables, ignore_index=True)


def results(
    shares: dict[tuple[str, int], float], sizes: dict[str, int] | None = None, labels: str = "original"
) -> Results:
    runs: dict[tuple[str, int], Callable[[], pd.DataFrame]] = {}
    for run, share in sorted(shares.items()):
        runs[run] = lambda run=run, share=share: predictions(sizes or {"rendered": 401}, share, run[1])
    return read_results(runs, "mini", "waics", labels)  # type: ignore[arg-type]


def table(tables: list[PaperTable], number: int) -> PaperTable:
    return next(each for each in tables if each.number == number)


def row(of: PaperTable, name: str, detail: str = "") -> TableRow:
    return next(each for each in of.rows if each.name == name and detail in each.detail)


def test_own_benchmarks_stand_beside_the_papers_average_and_never_in_its_column() -> None:
    tables = build_tables(results({("lmim", 0): 0.5, ("lmim", 1): 0.6, ("lmim", 2): 0.7, ("target_pixel", 0): 0.4}))
    targets = table(tables, 4)
    assert targets.columns == [AVG, MEAN]
    assert not targets.matched
    ours = row(targets, "MAE features")
    average, mean = targets.cell(ours, AVG), targets.cell(ours, MEAN)
    assert (average.paper, average.ours) == (81.2, ())
    assert (mean.paper, mean.mean, mean.std) == (None, pytest.approx(60), pytest.approx(10))
    assert (ours.seeds, ours.crops) == ((0, 1, 2), 400)
    single = targets.cell(row(targets, "pixel"), MEAN)
    assert (single.mean, single.std) == (pytest.approx(40), None)


def test_rows_never_run_are_empty_and_cited_rows_have_the_papers_values_only() -> None:
    tables = build_tables(results({("lmim", 0): 0.5}))
    never = row(table(tables, 4), "random features")
    assert (never.variant, never.crops, never.seeds) == ("target_random", 0, ())
    assert all(cell.mean is None for cell in never.cells)
    cited = row(table(tables, 7), "PARSeq")
    assert (cited.source, cited.variant, cited.note) == ("cited", None, "")
    assert cited.cells[0].paper == 76.9
    other = row(table(tables, 7), "LMIM", "10 epochs, ARD")
    assert (other.source, other.crops, other.note) == ("authors", 0, "of environment ard")


def test_environment_ard_fills_the_rows_fine_tuned_on_ard_and_no_others() -> None:
    runs = {("lmim", 0): lambda: predictions({"svt": 647}, 0.5)}
    seventh = table(build_tables(read_results(runs, "ard", "waics", "original")), 7)
    assert [each.detail for each in seventh.rows if each.crops] == ["10 epochs, ARD"]


def test_whole_benchmarks_of_the_paper_match_column_by_column() -> None:
    sizes = get_protocol("union14m").sizes | {"general": 400_000}
    found = build_tables(results({("lmim", 0): 0.75}, sizes))
    main = table(found, 7)
    assert main.matched
    assert main.columns == [*sizes, AVG, WEIGHTED]
    ours = row(main, "LMIM", "10 epochs, Union14M-L")
    assert main.cell(ours, "curve").paper == 87.5
    assert main.cell(ours, "curve").mean == pytest.approx(75, abs=0.05)
    each = [main.cell(ours, name).mean for name in sizes]
    assert main.cell(ours, AVG).mean == pytest.approx(np.mean(each))  # type: ignore[arg-type]
    weights = [size - 1 for size in sizes.values()]
    assert main.cell(ours, WEIGHTED).mean == pytest.approx(np.average(each, weights=weights))  # type: ignore[arg-type]
    assert not table(found, 8).matched


def test_a_test_set_of_another_size_is_not_the_papers() -> None:
    sizes = get_protocol("union14m").sizes | {"general": 1000}
    main = table(build_tables(results({("lmim", 0): 0.75}, sizes)), 7)
    assert not main.matched
    assert main.cell(row(main, "LMIM", "10 epochs, Union14M-L"), AVG).mean is None


@pytest.mark.parametrize("labels", ["original", "corrected"])
def test_corrected_labels_are_not_put_into_rows_of_original_ones(labels: str) -> None:
    common = table(build_tables(results({("lmim", 0): 0.75}, {"svt": 647}, labels)), 8)
    assert common.columns == ["svt", AVG, MEAN]
    run = [each.labels for each in common.rows if each.crops]
    assert run == [labels]


def test_variants_outside_the_paper_have_a_table_beside_the_methods() -> None:
    tables = build_tables(results({("lmim", 0): 0.5, ("mask_span", 0): 0.55, ("no_guidance", 0): 0.4}))
    beyond = table(tables, BEYOND)
    assert [each.name for each in beyond.rows] == ["lmim", "mask_span"]
    assert beyond.cell(beyond.rows[1], MEAN).mean == pytest.approx(55)
    assert BEYOND not in [each.number for each in build_tables(results({("lmim", 0): 0.5}))]


def test_runs_on_other_crops_are_refused() -> None:
    runs = {
        ("lmim", 0): lambda: predictions({"svt": 20}, 0.5),
        ("mim", 3): lambda: predictions({"svt": 21}, 0.5),
    }
    with pytest.raises(InputError, match="variant mim, seed 3 read 21 crops and variant lmim, seed 0 20"):
        read_results(runs, "mini", "waics", "original")


def test_runs_that_hold_crops_in_another_order_are_compared_crop_by_crop() -> None:
    one = predictions({"svt": 50}, 0.5)
    runs = {("lmim", 0): lambda: one, ("mim", 0): lambda: one[::-1]}
    found = read_results(runs, "mini", "waics", "original")
    assert np.array_equal(found.credit["lmim"], found.credit["mim"], equal_nan=True)


@pytest.mark.parametrize("better", [0.61, 0.63, 0.66])
def test_comparison_of_one_seed_each_is_mcnemars(better: float) -> None:
    random = np.random.default_rng(3)
    a, b = (random.random((1, 600)) < share for share in (0.60, better))
    read = [np.where(each[0], "word", "ward").tolist() for each in (a, b)]
    exact = compare(["word"] * 600, *read)
    found = compare_paired(a.astype(np.float32), b.astype(np.float32), [np.arange(600)])
    assert found.difference == pytest.approx(100 * exact.difference)
    assert found.p_value == pytest.approx(exact.p_value, rel=0.05, abs=0.004)
    assert [found.low, found.high] == pytest.approx([100 * bound for bound in exact.interval()], abs=0.4)


def test_p_value_is_the_share_of_all_exchanges_that_differ_as_much() -> None:
    random = np.random.default_rng(1)
    a, b = random.integers(0, 2, (2, 9)), random.integers(0, 2, (3, 9))  # two seeds and three
    places = [np.arange(3), np.arange(3, 9)]
    difference = b.mean(0) - a.mean(0)
    exchanged = np.array(list(product([-1, 1], repeat=9))) * difference
    every = np.mean([exchanged[:, each].mean(1) for each in places], axis=0)
    observed = np.mean([difference[each].mean() for each in places])
    exact = (np.abs(every) >= abs(observed) - 1e-9).mean()
    assert 0.05 < exact < 0.95
    assert compare_paired(a, b, places).p_value == pytest.approx(exact, abs=0.02)


def test_benchmarks_count_the_same_however_large() -> None:
    a, b = np.zeros((2, 110), np.float32), np.zeros((2, 110), np.float32)
    b[:, :10] = 1  # right in all of the small benchmark, in none of the large one
    found = compare_paired(a, b, [np.arange(10), np.arange(10, 110)])
    assert found.difference == found.low == found.high == pytest.approx(50)
    assert found.p_value < 0.01


def test_order_says_what_agrees_and_what_is_beyond_chance() -> None:
    shares = {("target_pixel", 0): 0.60, ("target_random", 0): 0.30, ("lmim", 0): 0.59, ("lmim", 1): 0.61}
    found = results(shares)
    order = compare_order(build_tables(found), found)
    targets = order[order["table"] == 4].set_index(["variant_a", "variant_b"])
    assert len(targets) == 3
    one_is_a_tie = targets.iloc[0]
    assert one_is_a_tie["kendall"] == pytest.approx(2 / math.sqrt(6), abs=1e-4)
    assert one_is_a_tie["spearman"] == pytest.approx(math.sqrt(0.75), abs=1e-4)
    sure = targets.loc[("target_pixel", "target_random")]
    assert bool(sure["agrees"]) and bool(sure["significant"])
    assert sure["our_difference"] == pytest.approx(-30)
    assert (sure["seeds_agreeing"], sure["seeds_compared"]) == (1, 1)
    unsure = targets.loc[("target_pixel", "lmim")]
    assert not unsure["significant"]
    assert (unsure["seeds_agreeing"], unsure["seeds_compared"]) == (0, 1)
    assert set(order["table"]) == {4}, "a table with one row that was run has no order"


def test_order_of_rows_that_do_not_vary_has_no_rank_correlation() -> None:
    found = results({("target_pixel", 0): 0.5, ("target_random", 0): 0.5, ("lmim", 0): 0.5})
    order = compare_order(build_tables(found), found)
    assert order[["kendall", "spearman"]].isna().all(axis=None)


def test_order_of_table_8_compares_rows_of_one_label_set() -> None:
    found = results({("lmim", 0): 0.9, ("mim", 0): 0.5, ("seqclr", 0): 0.6})
    order = compare_order(build_tables(found), found)
    eighth = order[order["table"] == 8]
    assert len(eighth) == 3
    assert all("corrected" in name for name in [*eighth["row_a"], *eighth["row_b"]])


def test_mim_has_mim_of_equal_crops_and_compute_under_it_in_every_table() -> None:
    tables = build_tables(results({("lmim", 0): 0.9, ("mim", 0): 0.5, ("mim_same_crops", 0): 0.6}))
    for number in (6, 7, 8):
        rows = table(tables, number).rows
        place = next(place for place, each in enumerate(rows) if each.variant == "mim")
        crops, compute = rows[place + 1 : place + 3]
        assert [each.variant for each in (crops, compute)] == ["mim_same_crops", "mim_same_compute"]
        assert {each.source for each in (crops, compute)} == {"beyond"}
        assert all(cell.paper is None for each in (crops, compute) for cell in each.cells)
        assert table(tables, number).cell(crops, MEAN).mean == pytest.approx(60)
        assert (compute.crops, compute.seeds) == (0, ()), "never run: it stays empty"
        assert "epochs" not in crops.detail


def test_companions_do_not_count_as_rows_of_the_papers_order() -> None:
    shares = {("lmim", 0): 0.9, ("mim", 0): 0.5, ("mim_same_crops", 0): 0.6}
    found = results(shares)
    order = compare_order(build_tables(found), found)
    assert order[order["table"] == 6]["rows"].tolist() == [2]


def test_summary_names_the_fair_baselines_that_were_not_run() -> None:
    beside = summary(results({("lmim", 0): 0.9, ("mim", 0): 0.5, ("mim_same_crops", 0): 0.6}))
    assert "`mim_same_compute`" in beside and "`mim_same_crops`" not in beside
    assert "mim_same" not in summary(results({("lmim", 0): 0.9}))


def test_latex_escapes_names_and_marks_what_is_cited() -> None:
    found = results({("lmim", 0): 0.5, ("lmim", 1): 0.7, ("mask_span", 0): 0.55})
    latex = to_latex(build_tables(found), found)
    assert r"mask\_span & 55.00 & 1 & 400 \\" in latex
    assert r"MASTER (cited) & 54.2 &  &  &  \\" in latex
    assert r"MAE features & 81.2 & 60.00 $\pm$ 14.14 & 2 & 400 \\" in latex
    assert latex.count(r"\centering\small") == latex.count(r"\end{table*}") == 9


def test_variants_beyond_the_paper_are_compared_with_lmim() -> None:
    found = results({("lmim", 0): 0.5, ("mask_span", 0): 0.75, ("mask_span", 1): 0.75})
    order = compare_order(build_tables(found), found)
    (pair,) = order[order["table"] == BEYOND].to_dict("records")
    assert (pair["variant_a"], pair["variant_b"]) == ("lmim", "mask_span")
    assert pair["our_difference"] == pytest.approx(25) and pair["significant"]
    assert pd.isna(pair["agrees"]) and pd.isna(pair["paper_difference"]) and pd.isna(pair["kendall"])
    assert (pair["seeds_agreeing"], pair["seeds_compared"]) == (1, 1)
    assert headline(order) == [], "only the paper's order is kept or not"


def test_headline_counts_no_pair_that_the_paper_leaves_open() -> None:
    pairs = {"caption": "Table 2", "agrees": [True, False, None], "significant": [True, False, True]}
    order = pd.DataFrame(pairs).astype({"agrees": "boolean"})
    expected = "Table 2: 1 of 2 pairs of rows in the paper's order, 1 beyond chance; 0 beyond chance the other way"
    assert headline(order) == [expected]
