"""The paper's result tables (Tables 1-8), and which of their rows a variant of this project repeats."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from lmim_kedro.errors import InputError
from lmim_kedro.reporting.paper.rows import VARIANTS, is_of
from lmim_kedro.scoring.protocols import Labels, get_protocol, labels_known

_FILES = {
    "tables_1_to_5.csv": "union14m",
    "table_6_chinese.csv": "chinese",
    "table_7_union14m.csv": "union14m",
    "table_8_six_benchmarks.csv": "common_1015_2077",
}
_COLUMNS = {"ic13_1015": "ic13", "ic15_2077": "ic15", "cute80": "cute"}
"""Columns with other names in the paper. It does not give the sizes of IC13 and IC15: its weighted averages do."""

CAPTIONS = {
    1: "Table 1: guidance and alignment",
    2: "Table 2: guidance views",
    3: "Table 3: order of the guided decoder",
    4: "Table 4: reconstruction target",
    5: "Table 5: masking",
    6: "Table 6: Chinese benchmark",
    7: "Table 7: Union14M benchmark",
    8: "Table 8: six common benchmarks",
}


@dataclass(frozen=True)
class PublishedRow:
    """One row of the paper's tables; accuracies in percent.

    Attributes:
        table: 1 to 8.
        name: the method, or the row of an ablation.
        detail: epochs, data and labels, where they distinguish rows.
        protocol: name of its evaluation protocol.
        labels: original or corrected.
        authors: whether the paper's authors ran it themselves, rather than citing it.
        accuracies: by this project's name of the benchmark; without those that the paper does not give.
        avg, weighted_avg: as printed; None where they are not.
    """

    table: int
    name: str
    detail: str
    protocol: str
    labels: str
    authors: bool
    accuracies: dict[str, float]
    avg: float | None
    weighted_avg: float | None


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """All rows of Tables 1-8, in the paper's order."""
    rows = []
    for file, protocol in _FILES.items():
        text = (files("lmim_kedro.reporting") / "paper" / file).read_text("utf-8")
        rows += [_row(file, protocol, cells) for cells in csv.DictReader(text.splitlines())]
    return tuple(rows)


def counterparts(variant: str, env: str) -> list[PublishedRow]:
    """The rows that a variant repeats in an environment, the main results (Tables 6-8) first; empty for none.

    They are listed in reporting.paper.rows. Rows fine-tuned on ARD belong to the environment `ard` alone.

    Example:
        >>> [(row.table, row.name) for row in counterparts("target_pixel", "mini")]
        [(4, 'pixel')]
    """
    keys = {key for key, name in VARIANTS.items() if name == variant and is_of(key, env)}
    own = [row for row in published_rows() if (row.table, row.name, row.detail) in keys]
    ablation = [row for row in own if row.table < 6]  # one of them: Tables 2 to 5 print the row of Table 1 again
    return [row for row in own if row.table >= 6] + ablation[:1]


def has_labels(row: PublishedRow, labels: Labels) -> bool:
    """Whether a row was scored by these labels, or by the only ones that its protocol has."""
    return row.labels == (labels if labels in labels_known(row.protocol) else "original")


def published_accuracy(
    variant: str, env: str, benchmark: str, labels: Labels = "original"
) -> tuple[float, PublishedRow] | None:
    """The paper's accuracy (percent) of a variant on a benchmark, and its row; None if it has none.

    Args:
        variant: name of the variant in this project.
        env: its environment.
        benchmark: this project's name of the benchmark.
        labels: original, or corrected where the benchmark has such labels.

    Example:
        >>> published_accuracy("lmim", "full", "svt")[0]
        97.7
    """
    for row in counterparts(variant, env):
        if has_labels(row, labels) and benchmark in row.accuracies:
            return row.accuracies[benchmark], row
    return None


def _row(file: str, protocol: str, cells: dict[str, str]) -> PublishedRow:
    def number(column: str) -> float | None:
        return float(cells[column]) if cells.get(column) else None

    try:
        subsets = {name: number(_COLUMNS.get(name, name)) for name in get_protocol(protocol).subsets}
        table = int(cells["table"]) if "table" in cells else int(file.split("_")[1])
        name = cells["row"] if "row" in cells else cells["method"]
    except (KeyError, ValueError) as error:
        raise InputError(f"{file} of the installed package is damaged ({error}): install lmim-kedro again") from error
    epochs, data, labels = (cells.get(c) for c in ("pretraining_epochs", "finetuning_data", "labels"))
    details = [f"{epochs} epochs" if epochs else "", data or "", f"{labels} labels" if labels else ""]
    return PublishedRow(
        table=table,
        name=name,
        detail=", ".join(filter(None, details)),
        protocol=protocol,
        labels=labels or "original",
        authors=cells.get("source", "authors") == "authors",
        accuracies={name: value for name, value in subsets.items() if value is not None},
        avg=number("avg"),
        weighted_avg=number("weighted_avg"),
    )
