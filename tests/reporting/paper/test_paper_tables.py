from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import pytest

from lmim_kedro.errors import InputError
from lmim_kedro.reporting.paper import ordering
from lmim_kedro.reporting.paper.formats import long_table, summary, to_latex, to_markdown
from lmim_kedro.reporting.paper.ordering import Paired, compare_order, compare_paired
from lmim_kedro.reporting.paper.page import CLS_COLUMNS, FIGURES, headline, render_tables
from lmim_kedro.reporting.paper.results import Results, read_results
from lmim_kedro.reporting.paper.tables import AVG, BEYOND, MEAN, WEIGHTED, Cell, PaperTable, TableRow, build_tables
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


def test_long_table_has_a_row_for_each_cell_with_the_spread_of_its_seeds() -> None:
    found = results({("lmim", 0): 0.5, ("lmim", 1): 0.7})
    cells = long_table(build_tables(found), "mini").set_index(["table", "row", "column"])
    ours = cells.loc[(4, "MAE features", MEAN)]
    assert ours[["ours_percent", "std_percent", "min_percent", "max_percent"]].tolist() == [60, 14.1421, 50, 70]
    assert (ours["seeds"], ours["crops"], ours["env"], ours["variant"]) == (2, 400, "mini", "lmim")
    assert cells.loc[(4, "MAE features", AVG), "paper_percent"] == 81.2
    never = cells.loc[(4, "pixel", MEAN)]
    assert never[["ours_percent", "std_percent", "min_percent", "max_percent", "env"]].isna().all()
    assert (never["seeds"], never["crops"]) == (0, 0)


def test_markdown_says_how_to_read_it_and_aligns_numbers_to_the_right() -> None:
    found = results({("lmim", 0): 0.5, ("mim", 0): 0.7})
    lines = to_markdown(build_tables(found), found).splitlines()
    assert lines[0].endswith("nor `mim_same_compute` (as much computing as teacher and LMIM).")
    assert "read rendered (400 crops)" in lines[0]
    fourth = lines[lines.index("## Table 4: reconstruction target") + 2 :]
    assert [cell.strip() for cell in fourth[0].split("|")[1:-1]] == [
        *("row", "source", "variant", AVG, MEAN, "seeds", "crops", "env"),
    ]
    assert [(cell[0], cell[-1]) for cell in fourth[1].split("|")[1:-1]] == [
        *[(":", "-")] * 3, *[("-", ":")] * 4, (":", "-"),
    ]  # fmt: skip
    cells = [cell.strip() for cell in fourth[4].split("|")[1:-1]]
    assert cells == ["MAE features", "authors", "lmim", "81.2", "50.00", "1", "400", "mini"]


def test_latex_tables_stand_in_the_middle_with_names_to_the_left() -> None:
    found = results({("lmim", 0): 0.5})
    fourth = to_latex(build_tables(found), found).split(r"\begin{table*}")[4]
    assert r"\caption{Table 4: reconstruction target (mini)}" in fourth
    assert r"\begin{tabular}{lrrrr}" in fourth and r"\toprule" in fourth
    assert r"row & Avg & our mean & seeds & crops \\" in fourth


def made(shares: dict[str, tuple[float, float]]) -> tuple[PaperTable, Results]:
    """A table of two test sets, whole, with the paper's Avg and our share right of each variant."""
    found = results({(name, 0): ours for name, (_, ours) in shares.items()}, {"a": 401, "b": 101})
    rows = [
        TableRow(name, "10 epochs", "authors", "original", name, "", [
            *(Cell(None, tuple(found.accuracies(name, each))) for each in ("a", "b")), Cell(paper, (100 * ours,)),
        ], (0,), 500)
        for name, (paper, ours) in shares.items()
    ]  # fmt: skip
    return PaperTable(7, "Table 7", ["a", "b", AVG], rows, matched=True), found


def test_pair_has_the_papers_sign_unless_one_of_both_has_none() -> None:
    table, found = made({"one": (80.0, 0.5), "two": (80.0, 0.6), "three": (81.0, 0.7), "four": (82.0, 0.6)})
    order = compare_order([table], found).set_index(["variant_a", "variant_b"])
    assert order.loc[("one", "three"), "agrees"] and not order.loc[("three", "four"), "agrees"]
    assert pd.isna(order.loc[("one", "two"), "agrees"]), "the paper has no order of these"
    assert not order.loc[("two", "four"), "agrees"], "no difference is not the paper's order"
    assert order["paper_difference"].tolist() == [0, 1, 2, 1, 2, 1]
    assert order["our_difference"].tolist() == pytest.approx([10, 20, 10, 10, 0, -10])
    assert order["seeds_agreeing"].tolist() == [0, 1, 1, 1, 0, 0] and set(order["seeds_compared"]) == {1}
    assert set(order["row_a"]) == {"one 10 epochs", "two 10 epochs", "three 10 epochs"} and set(order["rows"]) == {4}


@pytest.mark.parametrize(("p_value", "significant"), [(0.0499, True), (0.05, False), (0.09, False)])
def test_order_rounds_what_it_prints_and_is_beyond_chance_below_5_percent(
    monkeypatch: pytest.MonkeyPatch, p_value: float, significant: bool
) -> None:
    third = Paired(1 / 3, -1 / 3, 2 / 3, p_value + 1e-9)
    monkeypatch.setattr(ordering, "compare_paired", lambda a, b, places: third)
    table, found = made({"one": (80.0, 0.5), "two": (80.123456, 0.6)})
    (pair,) = compare_order([table], found).to_dict("records")
    assert (pair["our_difference"], pair["low"], pair["high"], pair["p_value"]) == (0.3333, -0.3333, 0.6667, p_value)
    assert pair["significant"] == significant and pair["paper_difference"] == 0.1235
    exactly = Paired(1 / 3, 0, 1, 0.05)
    monkeypatch.setattr(ordering, "compare_paired", lambda a, b, places: exactly)
    assert not compare_order([table], found)["significant"].any()


def test_pairs_of_a_matched_table_are_compared_on_its_test_sets_alone() -> None:
    table, found = made({"one": (80.0, 0.5), "two": (81.0, 0.6)})
    wrong = found.credit["two"].copy()
    wrong[:, found.benchmarks["b"]] = 0
    other = PaperTable(7, "Table 7", ["a", AVG], [
        TableRow(row.name, "", "authors", "original", row.variant, "", [row.cells[0], row.cells[2]], (0,), 400)
        for row in table.rows
    ], matched=True)  # fmt: skip
    found.credit["two"] = wrong
    assert compare_order([other], found)["our_difference"].tolist() == pytest.approx([10])


def test_p_value_is_never_zero_and_of_no_difference_is_one() -> None:
    a, b = np.zeros((1, 50)), np.ones((1, 50))
    assert compare_paired(a, b, [np.arange(50)], draws=99).p_value == 0.01
    assert compare_paired(a, a, [np.arange(50)], draws=99).p_value == 1
    interval = compare_paired(np.zeros((1, 400)), np.arange(400)[None] % 2, [np.arange(400)])
    assert [interval.low, interval.high] == pytest.approx([50 - 4.9, 50 + 4.9], abs=0.25)


def test_page_has_each_table_with_the_order_of_its_own_rows() -> None:
    found = results({("lmim", 0): 0.9, ("mim", 0): 0.5, ("target_pixel", 0): 0.6, ("mask_span", 0): 0.95})
    tables = build_tables(found)
    pictures = {name: np.zeros((4, 4, 3), np.uint8) for name in FIGURES}
    html = render_tables(tables, compare_order(tables, found), pd.DataFrame(columns=CLS_COLUMNS), pictures, found)
    text = {number: " ".join(re.sub("<[^>]+>", " ", part).split())
            for number, part in enumerate(html.split('<section id="table-')) if number}  # fmt: skip
    assert "MAE features pixel +4.8 +30.00" in text[4] and "Order of the rows" not in text[1]
    assert "over 2 rows: Kendall's tau 1.00, Spearman's rho 1.00" in text[6]
    assert "Against LMIM" in text[9] and "mask_span lmim for comparison +5.00" in text[9]
    assert "No run has statistics of [cls]" in html
    assert html.count('src="data:image/png;base64,') == len(FIGURES)


def test_columns_in_which_no_row_has_a_value_are_not_on_the_page_and_avg_says_whose_it_is() -> None:
    found = results({("target_pixel", 0): 0.9}, {"svt": 401, "own": 401})
    tables = build_tables(found)
    pictures = {name: np.zeros((4, 4, 3), np.uint8) for name in FIGURES}
    html = render_tables(tables, compare_order(tables, found), pd.DataFrame(columns=CLS_COLUMNS), pictures, found)
    sections = html.split('<section id="table-')[1:]
    heads = {int(part[0]): re.findall("<th[^>]*>([^<]*)</th>", part) for part in sections}
    assert heads[4] == ["row", "variant", "the paper's Avg", "own", "svt", "our mean", "seeds", "crops", "size"]
    assert heads[6] == ["row", "variant", "the paper's Avg"], "no run of ours stands in it"


def test_headline_keeps_the_order_of_the_tables() -> None:
    pairs = {"caption": ["Table 2", "Table 1"], "agrees": [True, True], "significant": [True, False]}
    lines = headline(pd.DataFrame(pairs).astype({"agrees": "boolean"}))
    assert [line[:7] for line in lines] == ["Table 2", "Table 1"]


@pytest.mark.parametrize(("count", "columns"), [(1, 2), (2, 4), (4, 6), (5, 2)])
def test_a_few_benchmarks_of_ours_have_columns_beside_their_mean(count: int, columns: int) -> None:
    found = results({("lmim", 0): 0.5}, {f"own{number}": 21 for number in range(count)})
    assert len(table(build_tables(found), 4).columns) == columns


def test_scores_by_another_metric_do_not_stand_in_the_papers_columns() -> None:
    runs = {("lmim", 0): lambda: predictions({"scene": 63_646}, 0.5)}  # by WAICS; Table 6 is by the Chinese metric
    sixth = table(build_tables(read_results(runs, "full", "waics", "original")), 6)
    assert (sixth.columns, sixth.matched) == ([AVG, MEAN], False)


def test_no_runs_are_refused() -> None:
    with pytest.raises(InputError, match="no predictions of environment `mini`"):
        read_results({}, "mini", "waics", "original")
