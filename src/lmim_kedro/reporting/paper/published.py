"""The paper's result tables (Tables 1-8), and which of their rows a variant of this project repeats."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from lmim_kedro.errors import InputError
from lmim_kedro.scoring.protocols import Labels, get_protocol, labels_known

_FILES = {
    "tables_1_to_5.csv": "union14m",
    "table_6_chinese.csv": "chinese",
    "table_7_union14m.csv": "union14m",
    "table_8_six_benchmarks.csv": "common_1015_2077",
}
"""Files and the protocols of their rows; the column `variant`, which is ours, names the variant that repeats a row."""
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

ARD = "ard"
"""The environment of the rows that were fine-tuned on ARD; the other rows are of all other environments."""


@dataclass(frozen=True)
class PublishedRow:
    """One row of the paper's tables; accuracies in percent.

    Attributes:
        table: 1 to 8.
        name: the method, or the row of an ablation.
        detail: epochs, data and labels, where they distinguish rows.
        protocol: name of its evaluation protocol.
        labels: original or corrected.
        variant: name of the variant that repeats the row; None for rows that the authors cite and did not run.
        accuracies: by this project's name of the benchmark; without those that the paper does not give.
        avg, weighted_avg: as printed; None where they are not.
    """

    table: int
    name: str
    detail: str
    protocol: str
    labels: str
    variant: str | None
    accuracies: dict[str, float]
    avg: float | None
    weighted_avg: float | None

    def is_of(self, env: str) -> bool:
        """Whether it was fine-tuned on the data of an environment, or on what stands in for them in a smaller one."""
        return ("ARD" in self.detail) == (env == ARD)

    def has_labels(self, labels: Labels) -> bool:
        """Whether it was scored by these labels, or by the only ones that its protocol has."""
        return self.labels == (labels if labels in labels_known(self.protocol) else "original")


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

    Rows fine-tuned on ARD belong to the environment `ard` alone.

    Example:
        >>> [(row.table, row.name) for row in counterparts("target_pixel", "mini")]
        [(4, 'pixel')]
    """
    own = [row for row in published_rows() if row.variant == variant and row.is_of(env)]
    ablation = [row for row in own if row.table < 6]  # one of them: Tables 2 to 5 print the row of Table 1 again
    return [row for row in own if row.table >= 6] + ablation[:1]


def published_accuracy(
    variant: str, env: str, benchmark: str, labels: Labels = "original"
) -> tuple[float, PublishedRow] | None:
    """The paper's accuracy (percent) of a variant on a benchmark, and its row; None if it has none.

    Args:
        variant, env: name of the variant in this project, and its environment.
        benchmark: this project's name of the benchmark.
        labels: original, or corrected where the benchmark has such labels.

    Example:
        >>> published_accuracy("lmim", "full", "svt")[0]
        97.7
    """
    for row in counterparts(variant, env):
        if row.has_labels(labels) and benchmark in row.accuracies:
            return row.accuracies[benchmark], row
    return None


def _row(file: str, protocol: str, cells: dict[str, str]) -> PublishedRow:
    def number(column: str) -> float | None:
        return float(cells[column]) if cells.get(column) else None

    try:
        subsets = {name: number(_COLUMNS.get(name, name)) for name in get_protocol(protocol).subsets}
        table = int(cells["table"]) if "table" in cells else int(file.split("_")[1])
        name = cells["row"] if "row" in cells else cells["method"]
        variant = cells["variant"]
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
        variant=variant or None,
        accuracies={name: value for name, value in subsets.items() if value is not None},
        avg=number("avg"),
        weighted_avg=number("weighted_avg"),
    )
