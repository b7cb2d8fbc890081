from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

from lmim_kedro.reporting.recipe_in_words import recipe_in_words
from lmim_kedro.reporting.rendering import _duration, markdown, plain_rows
from lmim_kedro.reporting.scores import build_scores
from lmim_kedro.reporting.tables import accuracy_table, compared_tables, to_markdown, training_table
from lmim_kedro.scoring.protocols import get_protocol


@pytest.fixture
def whole(recipe: dict[str, Any]) -> dict[str, Any]:
    """Scores of all six common benchmarks: every second crop read."""
    sizes = get_protocol("common_1015_2077").sizes
    frames = [
        pd.DataFrame({"benchmark": name, "label": "a", "prediction": ["a", "b"] * (size // 2) + ["b"] * (size % 2)})
        for name, size in sizes.items()
    ]
    return build_scores(pd.concat(frames), recipe)


def test_accuracy_table_is_in_percent_with_the_papers_cell_beside_ours(
    predictions: pd.DataFrame, recipe: dict[str, Any]
) -> None:
    scores = build_scores(predictions, recipe)
    table = accuracy_table(scores).set_index("benchmark")
    assert table.loc["svt", "waics_percent"] == pytest.approx(100 * scores["accuracy"]["svt"]["waics"], abs=0.005)
    assert table.loc["svt", "low_percent"] < table.loc["svt", "waics_percent"] < table.loc["svt", "high_percent"]
    assert table.loc["svt", "crops"] + table.loc["svt", "unscorable"] == 50
    assert table.loc["svt", "paper_percent"] == 97.7
    assert table.loc["svt", "paper_row"] == "Table 8, LMIM, Union14M-L, original labels"
    assert pd.isna(table.loc["rendered", "paper_percent"])


def test_averages_of_a_whole_protocol_stand_beside_the_papers(whole: dict[str, Any]) -> None:
    table = accuracy_table(whole).set_index("benchmark")
    assert table.loc["common_1015_2077 Avg", "paper_percent"] == 95.9
    assert table.loc["common_1015_2077 W-Avg", "paper_percent"] == 95.3
    assert table.loc["common_1015_2077 W-Avg", "waics_percent"] == pytest.approx(50, abs=0.1)


def test_our_row_stands_on_top_of_the_papers_table_with_empty_cells_for_what_was_not_run(
    predictions: pd.DataFrame, recipe: dict[str, Any]
) -> None:
    (table,) = compared_tables(build_scores(predictions, recipe))
    ours, *others = table.rows
    measured = dict(zip(table.columns, ours.cells, strict=True))
    assert (table.caption, ours.kind) == ("Table 8: six common benchmarks", "ours")
    assert [name for name, cell in measured.items() if cell is not None] == ["svt"]
    assert [row.detail for row in others if row.kind == "counterpart"] == ["Union14M-L, original labels"]


def test_corrected_labels_stand_beside_the_papers_corrected_labels(
    predictions: pd.DataFrame, recipe: dict[str, Any]
) -> None:
    scores = build_scores(predictions, recipe, labels="corrected")
    row = accuracy_table(scores).set_index("benchmark").loc["svt"]
    assert (row["paper_percent"], row["paper_row"]) == (98.3, "Table 8, LMIM, Union14M-L, corrected labels")
    (table,) = compared_tables(scores)
    assert table.rows[0].detail == "lmim, vit_small, fine-tuned reference, seed 3, corrected labels"
    assert [row.detail for row in table.rows if row.kind == "counterpart"] == ["Union14M-L, corrected labels"]
    assert "corrected labels" in to_markdown(accuracy_table(scores), scores)


def test_our_averages_appear_where_all_test_sets_were_run(whole: dict[str, Any]) -> None:
    (table,) = compared_tables(whole)
    assert dict(zip(table.columns, table.rows[0].cells, strict=True))["Avg"] == pytest.approx(50, abs=0.1)


def test_ablation_stands_in_its_own_table_without_a_column_that_nobody_fills(recipe: dict[str, Any]) -> None:
    predictions = pd.DataFrame({"benchmark": "curve", "label": ["a"], "prediction": ["a"]})
    (table,) = compared_tables(build_scores(predictions, recipe | {"variant": "views_weak"}))
    assert table.caption == "Table 2: guidance views"
    assert [(row.name, row.kind) for row in table.rows] == [
        ("this run", "ours"), ("strong", "other"), ("weak", "counterpart"), ("medium", "other"),
    ]  # fmt: skip
    assert table.columns[-1] == "Avg"


def test_run_that_the_paper_does_not_have_is_compared_with_nothing(
    predictions: pd.DataFrame, recipe: dict[str, Any]
) -> None:
    scores = build_scores(predictions, recipe | {"variant": "mask_density"})
    assert compared_tables(scores) == []
    assert accuracy_table(scores)["paper_percent"].isna().all()


def test_markdown_has_a_row_per_benchmark_and_leaves_missing_cells_empty(
    predictions: pd.DataFrame, recipe: dict[str, Any]
) -> None:
    scores = build_scores(predictions, recipe)
    text = to_markdown(accuracy_table(scores), scores)
    rows = [re.sub(" +", " ", line) for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1 and len(rows) == 4
    assert rows[0].startswith("| benchmark | crops | unscorable | waics | low | high |")
    assert rows[3].startswith("| rendered | ") and rows[3].endswith(" | | |")
    assert "seed 3" in text and "svt has 50 crops here; the published test set has 647." in text


def test_a_bar_in_a_name_does_not_end_its_cell_in_markdown() -> None:
    row = markdown(pd.DataFrame({"name": ["a|b"], "value": ["1.50"]}), ["name"]).splitlines()[-1]
    assert re.split(r"(?<!\\)\|", row.replace(" ", "")) == ["", "a\\|b", "1.50", ""]


def test_stages_that_were_not_trained_are_left_out(stages: dict[str, pd.DataFrame]) -> None:
    rows = training_table(stages | {"teacher": stages["teacher"].head(0)})
    assert [row["stage"] for row in rows] == ["pre-training", "fine-tuning"]
    assert rows[0]["steps"] == 3000 and rows[0]["seconds"] == 300


def test_recipe_in_words_says_what_was_done_and_not_what_was_not(recipe: dict[str, Any], facts: dict[str, Any]) -> None:
    words = {group: dict(rows) for group, rows in recipe_in_words(recipe, facts)}
    assert words["Pre-training"]["Masking"] == "random, 80 % of the patches"
    assert words["Pre-training"]["Optimization"].startswith(
        "10 epochs, batches of 512; AdamW, learning rate 0.0003 after 1 epoch"
    )
    assert words["Model vit_small"]["Recognizer"] == "1,120,000 parameters"
    assert "contrast 0.5–1" in words["Guidance views medium"]["Out of"]
    without = recipe | {"pretraining": recipe["pretraining"] | {"method": "none"}}
    words = {group: dict(rows) for group, rows in recipe_in_words(without, facts)}
    assert words["Pre-training"] == {"Method": "none"}
    assert "Guidance views medium" not in words


def test_a_row_says_which_finetuning_preset_made_it_and_the_papers_row_is_then_not_the_same_recipe(
    predictions: pd.DataFrame, recipe: dict[str, Any]
) -> None:
    strong = recipe | {"finetuning": recipe["finetuning"] | {"preset": "strong", "augmentation": "parseq"}}
    for made, preset in ((recipe, "reference"), (strong, "strong")):
        scores = build_scores(predictions, made)
        (table,) = compared_tables(scores)
        assert f"fine-tuned {preset}" in table.rows[0].detail
        assert f"fine-tuning preset `{preset}`" in to_markdown(accuracy_table(scores), scores)
        words = dict(recipe_in_words(made, {}))[f"Fine-tuning {preset}"]
        assert dict(words)["Augmentation"].startswith("PARSeq" if preset == "strong" else "ABINet")
        same = any(row.kind == "counterpart" for row in table.rows)
        warned = any("the paper's rows are not" in note for note in scores["notes"])
        assert (same, warned) == ((True, False) if preset == "reference" else (False, True))


def test_recognizer_of_before_there_were_presets_is_of_the_reference(
    predictions: pd.DataFrame, recipe: dict[str, Any]
) -> None:
    without = {name: value for name, value in recipe["finetuning"].items() if name != "preset"}
    assert build_scores(predictions, recipe | {"finetuning": without})["finetuning"] == "reference"


def test_each_stage_is_told_by_its_first_best_and_last_rows() -> None:
    metrics = pd.DataFrame(
        {
            "step": [10, 20, 40],
            "epoch": [0.25, 0.5, 1.0],
            "loss": [9.0, 4.0, 5.0],
            "learning_rate": [1e-4, 3e-4, 0.0],
            "crops_per_second": [100.0, 900.0, 800.0],
            "seconds": [1.0, 2.0, 4.5],
        }
    )
    assert training_table({"fine-tuning": metrics}) == [
        {"stage": "fine-tuning", "steps": 40, "epochs": 1.0, "first_loss": 9.0, "loss": 5.0,
         "peak_learning_rate": 3e-4, "crops_per_second": 800.0, "seconds": 4.5},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.94, "0.9 s"),
        (59.2, "59.2 s"),
        (60, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3600, "1 h 0 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_duration_has_the_two_units_that_matter(seconds: float, words: str) -> None:
    assert _duration(seconds) == words


def test_numbers_of_markdown_are_as_they_were_written_and_to_the_right() -> None:
    lines = markdown(pd.DataFrame({"name": ["a", "b"], "value": ["1.50", "10"]}), ["name"]).splitlines()
    assert lines == ["| name   |   value |", "|:-------|--------:|", "| a      |    1.50 |", "| b      |      10 |"]


def test_missing_cells_are_none_and_others_as_they_are() -> None:
    assert plain_rows(pd.DataFrame({"a": [1, 2], "b": ["x", None]})) == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


def test_main_results_stand_before_the_ablation(recipe: dict[str, Any]) -> None:
    predictions = pd.DataFrame({"benchmark": ["curve", "svt"], "label": "a", "prediction": "a"})
    tables = compared_tables(build_scores(predictions, recipe))
    assert [table.caption[:7] for table in tables] == ["Table 7", "Table 8", "Table 1"]
    assert all(len(row.cells) == len(table.columns) for table in tables for row in table.rows)
    assert "PARSeq" not in {row.name for table in tables for row in table.rows}, "cited rows are not run by the authors"
    counterparts = {
        table.caption[:7]: [row.name for row in table.rows if row.kind == "counterpart"] for table in tables
    }
    assert counterparts == {"Table 7": ["LMIM"], "Table 8": ["LMIM"], "Table 1": ["guidance and alignment"]}


def test_averages_without_a_row_of_the_paper_have_no_cell_of_it(whole: dict[str, Any]) -> None:
    table = accuracy_table(whole | {"variant": "mask_density"}).set_index("benchmark")
    assert table["paper_percent"].isna().all() and table["paper_row"].isna().all()
    named = accuracy_table(whole).set_index("benchmark")
    assert named.loc["common_1015_2077 Avg", "paper_row"] == "Table 8, LMIM, Union14M-L, original labels"
    other = whole | {
        "averages": {"common_857_1811": {"avg": 0.5, "weighted_avg": 0.5, "n": 7248, "labels": "original"}}
    }
    assert pd.isna(accuracy_table(other).set_index("benchmark").loc["common_857_1811 Avg", "paper_percent"])
    (compared,) = compared_tables(other)
    assert compared.columns[-1] == "W-Avg" and compared.rows[0].cells[-1] is None, "averages of other test sets"


def test_percents_of_the_markdown_have_two_decimals_and_the_papers_one(
    predictions: pd.DataFrame, recipe: dict[str, Any]
) -> None:
    scores = build_scores(predictions.assign(prediction=predictions["label"]), recipe)
    text = to_markdown(accuracy_table(scores), scores)
    cells = [cell.strip() for cell in text.splitlines()[4].split("|")]
    assert cells[1] == "svt" and cells[4] == "100.00" and "97.7" in cells
    assert "original labels" in text.splitlines()[0]
