"""The paper's Tables 1-8, each value beside an environment's runs, and a ninth table for variants not in the paper."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lmim_kedro.reporting.paper.published import ARD, CAPTIONS, PublishedRow, published_rows
from lmim_kedro.reporting.paper.results import Results
from lmim_kedro.scoring.protocols import get_protocol

AVG, WEIGHTED, MEAN = "Avg", "W-Avg", "our mean"
BEYOND = 9
"""Number of the table of variants that are in none of the paper's."""
_SHOWN_STAND_INS = 4
"""Largest number of our own benchmarks that are shown beside their mean."""

COMPANIONS: dict[str, dict[str, str]] = {
    "mim": {
        "mim_same_crops": "as many crops as teacher and LMIM",
        "mim_same_compute": "as much computing as teacher and LMIM",
    }
}
"""Our variants that follow a variant of the paper in every table: a baseline trained for longer."""

METHODS = {
    "scratch": "scratch",
    "mim": "MIM",
    "mim_same_crops": "MIM, same crops",
    "mim_same_compute": "MIM, same compute",
    "seqclr": "SeqCLR",
    "lmim": "LMIM",
}
"""Titles of the variants that figures show side by side, the weakest in the paper first, companions after their own."""


@dataclass(frozen=True)
class Cell:
    """An accuracy in percent: the paper's, and ours for each seed.

    Example:
        >>> Cell(81.2, (58.0, 62.0)).mean
        60.0
    """

    paper: float | None = None
    ours: tuple[float, ...] = ()

    @property
    def mean(self) -> float | None:
        """Mean of ours over seeds; None if it was never run."""
        return float(np.mean(self.ours)) if self.ours else None

    @property
    def std(self) -> float | None:
        """Standard deviation over seeds (n - 1); None for fewer than two."""
        return float(np.std(self.ours, ddof=1)) if len(self.ours) > 1 else None


@dataclass(frozen=True)
class TableRow:
    """One row.

    Attributes:
        name, detail: as the paper has them.
        source: authors (they ran it), cited (by them), or beyond (this project's, not in the paper).
        labels: original or corrected.
        variant: name of the variant that repeats the row; None if there is none.
        note: the environment that runs it, if not every one does.
        cells: one for each column of the table.
        seeds: seeds that were run.
        crops: number of scored crops; 0 if it was not run.
    """

    name: str
    detail: str
    source: str
    labels: str
    variant: str | None
    note: str
    cells: list[Cell]
    seeds: tuple[int, ...] = ()
    crops: int = 0


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Attributes:
        number: 1 to 8 as in the paper, or BEYOND.
        caption: what it shows.
        columns: titles: benchmarks, then AVG, WEIGHTED, MEAN as far as they can be given.
        rows: in the paper's order.
        matched: whether our benchmarks are the paper's, all and whole: then Avg is comparable with Avg.
    """

    number: int
    caption: str
    columns: list[str]
    rows: list[TableRow] = field(default_factory=list)
    matched: bool = False

    @property
    def compared(self) -> str:
        """The column whose order of rows is compared with that of the paper's Avg."""
        return AVG if self.matched else MEAN

    def cell(self, row: TableRow, column: str) -> Cell:
        """The cell of a row in the column of that title."""
        return row.cells[self.columns.index(column)]


def build_tables(results: Results) -> list[PaperTable]:
    """Build Tables 1-8, and the ninth if there are runs for it.

    If our benchmarks are a protocol's complete test sets, each of our values is beside the paper's. If not, the columns
    are the shared benchmarks, the paper's Avg alone, and our benchmarks with their mean: these are other crops, so only
    the order of rows can be compared. The companions of a row follow it, whether they were run or not.
    """
    tables = [_table(number, results) for number in CAPTIONS]
    repeated = {row.variant for row in published_rows()}
    if outside := [name for name in results.seeds if name not in repeated]:
        tables.append(_beyond(results, outside))
    return tables


def _table(number: int, results: Results) -> PaperTable:
    published = [row for row in published_rows() if row.table == number]
    protocol = get_protocol(published[0].protocol)
    matched = protocol.metric == results.metric and all(
        name in results.benchmarks and results.images[name] == size for name, size in protocol.sizes.items()
    )
    shared = [name for name in protocol.subsets if name in results.benchmarks and protocol.metric == results.metric]
    if matched:
        weighted = [WEIGHTED] if any(row.weighted_avg is not None for row in published) else []
        columns = [*protocol.subsets, AVG, *weighted]
    else:
        columns = [*shared, AVG, *(name for name in _stand_ins(results) if name not in shared), MEAN]
    table = PaperTable(number, CAPTIONS[number], columns, matched=matched)
    scored = sum(len(results.benchmarks[name]) for name in (protocol.subsets if matched else results.benchmarks))
    for row in published:
        crops = scored if not shared or row.has_labels(results.labels) else 0
        table.rows.append(_row(row, table, results, crops))
        for name, why in COMPANIONS.get(row.variant or "", {}).items():
            # Epochs are the paper's row's: a companion is trained for longer, which is its point.
            kept = [part for part in row.detail.split(", ") if part and not part.endswith(" epochs")]
            detail = ", ".join([why, *kept])
            own = replace(row, detail=detail, variant=name, accuracies={}, avg=None, weighted_avg=None)
            table.rows.append(replace(_row(own, table, results, crops), source="beyond"))
    return table


def _row(row: PublishedRow, table: PaperTable, results: Results, crops: int) -> TableRow:
    """A row with the runs of its variant, where there are any; `crops` that it is scored on, 0 for other labels."""
    given = row.variant if crops and row.variant in results.seeds and row.is_of(results.env) else None
    paper = {**row.accuracies, AVG: row.avg, WEIGHTED: row.weighted_avg}
    return TableRow(
        name=row.name,
        detail=row.detail,
        source="authors" if row.variant else "cited",
        labels=row.labels,
        variant=row.variant,
        note=f"of environment {ARD}" if row.variant and not row.is_of("") else "",
        cells=[Cell(paper.get(column), _ours(column, given, table, results)) for column in table.columns],
        seeds=results.seeds[given] if given else (),
        crops=crops if given else 0,
    )


def _stand_ins(results: Results) -> list[str]:
    """Our benchmarks that have a column beside their mean: not a single one, which is its own mean, nor too many."""
    return list(results.benchmarks) if 1 < len(results.benchmarks) <= _SHOWN_STAND_INS else []


def _ours(column: str, variant: str | None, table: PaperTable, results: Results) -> tuple[float, ...]:
    if variant is None or (column == AVG and not table.matched):
        return ()
    if column in results.benchmarks:
        return tuple(results.accuracies(variant, column).tolist())
    # Averages of a matched table are over the paper's benchmarks; a mean of ours is over all that we have.
    names = [name for name in (table.columns if table.matched else results.benchmarks) if name in results.benchmarks]
    each = np.stack([results.accuracies(variant, name) for name in names])
    counts = np.array([len(results.benchmarks[name]) for name in names])
    return tuple((np.average(each, axis=0, weights=counts) if column == WEIGHTED else each.mean(0)).tolist())


def _beyond(results: Results, outside: Sequence[str]) -> PaperTable:
    table = PaperTable(BEYOND, "Beyond the paper: variants of this project", [*_stand_ins(results), MEAN])
    beside = [name for name in METHODS if name in results.seeds]
    for name in dict.fromkeys([*beside, *outside]):
        cells = [Cell(None, _ours(column, name, table, results)) for column in table.columns]
        detail = "" if name in outside else "for comparison"
        seeds = results.seeds[name]
        table.rows.append(TableRow(name, detail, "beyond", results.labels, name, "", cells, seeds, results.crops))
    return table
