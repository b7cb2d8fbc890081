"""The paper's Tables 1-8, each value beside an environment's runs, and a ninth table for variants not in the paper."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lmim_kedro.reporting.paper.published import CAPTIONS, PublishedRow, has_labels, published_rows
from lmim_kedro.reporting.paper.results import Results
from lmim_kedro.reporting.paper.rows import ARD, COMPANIONS, METHODS, VARIANTS, is_of
from lmim_kedro.scoring.protocols import EvaluationProtocol, get_protocol

AVG, WEIGHTED, MEAN = "Avg", "W-Avg", "our mean"
BEYOND = 9
"""Number of the table of variants that are in none of the paper's."""
_SHOWN_STAND_INS = 4
"""Largest number of our own benchmarks that are shown beside their mean."""


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
    outside = [name for name in results.seeds if name not in VARIANTS.values()]
    if outside:
        tables.append(_beyond(results, outside))
    return tables


def _table(number: int, results: Results) -> PaperTable:
    published = [row for row in published_rows() if row.table == number]
    protocol = get_protocol(published[0].protocol)
    matched = _is_whole(protocol, results)
    shared = [name for name in protocol.subsets if name in results.benchmarks and protocol.metric == results.metric]
    if matched:
        weighted = [WEIGHTED] if any(row.weighted_avg is not None for row in published) else []
        columns = [*protocol.subsets, AVG, *weighted]
    else:
        columns = [*shared, AVG, *(name for name in _stand_ins(results) if name not in shared), MEAN]
    table = PaperTable(number, CAPTIONS[number], columns, matched=matched)
    crops = _crops(results, protocol.subsets if matched else results.benchmarks)
    for row in published:
        variant = VARIANTS.get((row.table, row.name, row.detail)) if row.authors else None
        fits = not shared or has_labels(row, results.labels)
        table.rows.append(_row(row, variant, table, results, crops if fits else 0))
        for name, why in COMPANIONS.get(variant or "", {}).items():
            # Epochs are the paper's row's: a companion is trained for longer, which is its point.
            kept = [part for part in row.detail.split(", ") if part and not part.endswith(" epochs")]
            detail = ", ".join([why, *kept])
            own = replace(row, detail=detail, accuracies={}, avg=None, weighted_avg=None)
            table.rows.append(replace(_row(own, name, table, results, crops if fits else 0), source="beyond"))
    return table


def _row(row: PublishedRow, variant: str | None, table: PaperTable, results: Results, crops: int) -> TableRow:
    """A row with the runs of a variant, where there are any; `crops` that it is scored on, 0 for other labels."""
    key = (row.table, row.name, row.detail)
    given = variant if crops and variant in results.seeds and is_of(key, results.env) else None
    return TableRow(
        row.name,
        row.detail,
        "authors" if row.authors else "cited",
        row.labels,
        variant,
        f"of environment {ARD}" if row.authors and not is_of(key, "") else "",
        [_cell(row, column, given, table, results) for column in table.columns],
        results.seeds[given] if given else (),
        crops if given else 0,
    )


def _stand_ins(results: Results) -> list[str]:
    """Our benchmarks that have a column beside their mean: not a single one, which is its own mean, nor too many."""
    return list(results.benchmarks) if 1 < len(results.benchmarks) <= _SHOWN_STAND_INS else []


def _is_whole(protocol: EvaluationProtocol, results: Results) -> bool:
    return protocol.metric == results.metric and all(
        name in results.benchmarks and results.images[name] == size for name, size in protocol.sizes.items()
    )


def _cell(row: PublishedRow, column: str, variant: str | None, table: PaperTable, results: Results) -> Cell:
    paper = {AVG: row.avg, WEIGHTED: row.weighted_avg}.get(column, row.accuracies.get(column))
    return Cell(paper, _ours(column, variant, table, results))


def _ours(column: str, variant: str | None, table: PaperTable, results: Results) -> tuple[float, ...]:
    if variant is None or (column == AVG and not table.matched):
        return ()
    if column in results.benchmarks:
        return tuple(results.accuracies(variant, column).tolist())
    names = list(results.benchmarks)
    if table.matched:
        names = [name for name in table.columns if name in results.benchmarks]
    each = np.stack([results.accuracies(variant, name) for name in names])
    counts = np.array([len(results.benchmarks[name]) for name in names])
    return tuple((np.average(each, axis=0, weights=counts) if column == WEIGHTED else each.mean(0)).tolist())


def _beyond(results: Results, outside: Sequence[str]) -> PaperTable:
    columns = [*_stand_ins(results), MEAN]
    table = PaperTable(BEYOND, "Beyond the paper: variants of this project", columns)
    beside = [name for name in METHODS if name in results.seeds]
    for name in dict.fromkeys([*beside, *outside]):
        cells = [Cell(None, _ours(column, name, table, results)) for column in table.columns]
        detail = "" if name in outside else "for comparison"
        seeds = results.seeds[name]
        table.rows.append(TableRow(name, detail, "beyond", results.labels, name, "", cells, seeds, results.crops))
    return table


def _crops(results: Results, names: Sequence[str] | dict[str, np.ndarray]) -> int:
    return sum(len(results.benchmarks[name]) for name in names)
