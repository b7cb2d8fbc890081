"""Test whether the rows of a table are in the paper's order."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd

from lmim_kedro.reporting.paper.results import Results
from lmim_kedro.reporting.paper.tables import AVG, BEYOND, PaperTable, TableRow

SIGNIFICANT = 0.05
COLUMNS = [
    *("table", "caption", "env", "rows", "spearman", "kendall", "row_a", "row_b", "variant_a", "variant_b"),
    *("paper_difference", "our_difference", "low", "high", "p_value", "agrees", "significant"),
    *("seeds_agreeing", "seeds_compared"),
]


@dataclass(frozen=True)
class Paired:
    """The difference of two variants on the same crops, in points: B minus A, mean over benchmarks and seeds.

    Attributes:
        difference: difference of the mean accuracies.
        low, high: 95 % bootstrap interval over crops.
        p_value: two-sided; how likely a difference as large is if, for each crop, A and B could be exchanged.
    """

    difference: float
    low: float
    high: float
    p_value: float


def compare_paired(
    a: np.ndarray, b: np.ndarray, benchmarks: Sequence[np.ndarray], draws: int = 10_000, seed: int = 0
) -> Paired:
    """Compare two variants crop by crop, their seeds averaged.

    The test exchanges A and B crop by crop (a sign-flip permutation test); with one seed of each and one benchmark it
    is McNemar's. Chance in crops is in it and in the interval; chance in seeds is not: see the spread over seeds.

    Args:
        a, b: credit of each seed and crop, (S, N).
        benchmarks: positions of the crops of each benchmark; benchmarks count the same, whatever their sizes.
        draws: number of permutations and of bootstrap samples.
        seed: seed of both.

    Example:
        >>> a, b = np.array([[1, 0, 0, 0]]), np.array([[1, 1, 1, 0]])
        >>> compare_paired(a, b, [np.arange(4)]).difference
        50.0
    """
    random = np.random.default_rng(seed)
    difference = b.mean(0, dtype=np.float64) - a.mean(0, dtype=np.float64)
    observed, resampled, exchanged = 0.0, np.zeros(draws), np.zeros(draws)
    for places in benchmarks:
        weight = 100 / (len(places) * len(benchmarks))
        values, counts = np.unique(difference[places].round(9), return_counts=True)
        observed += weight * float(values @ counts)
        resampled += weight * random.multinomial(len(places), counts / len(places), draws) @ values
        sizes = Counter[float]()
        for value, count in zip(np.abs(values), counts, strict=True):
            sizes[float(value)] += int(count)
        for size, count in sizes.items():
            if size:
                exchanged += weight * size * (2 * random.binomial(count, 0.5, draws) - count)
    as_large = int((np.abs(exchanged) >= abs(observed) - 1e-9).sum())
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Paired(observed, float(low), float(high), (1 + as_large) / (1 + draws))


def compare_order(tables: Sequence[PaperTable], results: Results) -> pd.DataFrame:
    """A row for every two rows of a table of the paper that were both run; beyond it, for LMIM and every other.

    Returns: COLUMNS. spearman and kendall are of the whole table, `rows` how many rows they are over. agrees: whether
    our difference has the sign of the paper's; missing where the paper's rows are equal, and, with paper_difference
    and the rank correlations, where it has none. seeds_agreeing of seeds_compared, the seeds that both were run with:
    those with the sign of the paper's difference, or of ours over all seeds where it has none.
    """
    pairs: list[dict[str, Any]] = []
    for table in tables:
        whole = {"table": table.number, "caption": table.caption, "env": results.env}
        if table.number == BEYOND:
            whole["rows"] = len(table.rows)
            lmim, others = ([row for row in table.rows if (row.variant == "lmim") is it] for it in (True, False))
            pairs += [whole | _pair(table, (a, b), math.nan, results) for a, b in product(lmim, others)]
            continue
        rows = _comparable(table)
        both = pd.DataFrame({"paper": [table.cell(row, AVG).paper for row in rows]}, dtype=float)
        both["ours"] = [table.cell(row, table.compared).mean for row in rows]
        whole |= {name: round(both.corr(name).loc["paper", "ours"], 4) for name in ("spearman", "kendall")}
        whole["rows"] = len(rows)
        for (i, a), (j, b) in combinations(enumerate(rows), 2):
            pairs.append(whole | _pair(table, (a, b), both["paper"][j] - both["paper"][i], results))
    return pd.DataFrame(pairs, columns=COLUMNS).astype({"agrees": "boolean", "paper_difference": "float64"})


def _comparable(table: PaperTable) -> list[TableRow]:
    """Rows with a value of the paper and of ours, of the one label set that has the most of them."""
    run = [row for row in table.rows if row.crops and table.cell(row, AVG).paper is not None]
    counts = Counter(row.labels for row in run)
    return [row for row in run if row.labels == counts.most_common(1)[0][0]]


def _pair(table: PaperTable, rows: tuple[TableRow, TableRow], in_paper: float, results: Results) -> dict[str, Any]:
    """The comparison of two rows; `in_paper` is their difference in the paper, NaN where it has none."""
    a, b = (str(row.variant) for row in rows)
    names = [name for name in table.columns if name in results.benchmarks] if table.matched else results.benchmarks
    found = compare_paired(results.credit[a], results.credit[b], [results.benchmarks[name] for name in names])
    by_seed = [dict(zip(row.seeds, table.cell(row, table.compared).ours, strict=True)) for row in rows]
    common = sorted(by_seed[0].keys() & by_seed[1].keys())
    expected = found.difference if math.isnan(in_paper) else in_paper
    return {
        **{f"row_{side}": f"{row.name} {row.detail}".strip() for side, row in zip("ab", rows, strict=True)},
        "variant_a": a,
        "variant_b": b,
        "paper_difference": round(in_paper, 4),
        "our_difference": round(found.difference, 4),
        "low": round(found.low, 4),
        "high": round(found.high, 4),
        "p_value": round(found.p_value, 5),
        "agrees": in_paper * found.difference > 0 if abs(in_paper) > 1e-9 else None,
        "significant": found.p_value < SIGNIFICANT,
        "seeds_agreeing": sum((by_seed[1][seed] - by_seed[0][seed]) * expected > 0 for seed in common),
        "seeds_compared": len(common),
    }
