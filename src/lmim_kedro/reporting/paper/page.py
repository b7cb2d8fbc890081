"""One HTML page with the paper's tables beside ours, the order of their rows, and the figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lmim_kedro.reporting.images import picture
from lmim_kedro.reporting.paper.formats import summary
from lmim_kedro.reporting.paper.results import Results
from lmim_kedro.reporting.paper.tables import PaperTable
from lmim_kedro.reporting.rendering import plain_rows, render
from lmim_kedro.scoring.metrics import METRICS

FIGURES = {
    "losses": ("Losses", "Each point is the mean since the point before. Methods have losses of their own scale."),
    "lengths": ("Accuracy by word length", "Mean over seeds; the band reaches from the worst seed to the best."),
    "attention": (
        "Attention",
        "Last block of the encoder before fine-tuning (scratch: before any training), mean over heads, without [cls]. "
        "The red box is the patch that asks; "
        "yellow is what it looks at most, each map on its own scale (paper, Figures 1c and 3).",
    ),
    "reconstructions": (
        "Reconstructions",
        "Patches removed at random, at the ratio of each variant. Pixels are put back with the mean and deviation of "
        "the crop's own patch; of features, the cosine of predicted and target, light gray where nothing was removed.",
    ),
    "neighbors": (
        "What [cls] takes for alike",
        "Nearest benchmark crops by the cosine of [cls], the mean over crops taken off: the teacher has seen no "
        "guidance view, the encoder was aligned with them. Beside them, where it was run, LMIM without the alignment.",
    ),
}
"""Figures by name, in the order of the page: heading and note."""

CLS_COLUMNS = [
    *("variant", "seed", "encoder", "crops", "width"),
    *("cls_std", "cls_effective_rank", "patches_std", "patches_effective_rank"),
]


def render_tables(
    tables: Sequence[PaperTable],
    order: pd.DataFrame,
    cls_table: pd.DataFrame,
    figures: Mapping[str, np.ndarray],
    results: Results,
) -> str:
    """The whole page: it asks for nothing from elsewhere; its script only sorts and enlarges what is there.

    Args:
        tables: from reporting.paper.tables.build_tables.
        order: from reporting.paper.ordering.compare_order.
        cls_table: from `cls_table`.
        figures: pictures (H, W, 3) uint8 by the names of FIGURES.
        results: the results behind the tables.
    """
    pairs = plain_rows(order)
    return render(
        "tables",
        env=results.env,
        metric=METRICS[results.metric].title,
        summary=summary(results),
        benchmarks={name: len(places) for name, places in results.benchmarks.items()},
        runs=sum(len(seeds) for seeds in results.seeds.values()),
        variants=list(results.seeds),
        tables=tables,
        shown={table.number: _filled(table) for table in tables},
        pairs={table.number: [pair for pair in pairs if pair["table"] == table.number] for table in tables},
        cls_rows=plain_rows(cls_table),
        figures=[(name, *FIGURES[name], picture(figures[name], "png"), figures[name].shape[1]) for name in FIGURES],
    )


def _filled(table: PaperTable) -> list[int]:
    """Places of the columns in which some row has a value."""
    cells = zip(*(row.cells for row in table.rows), strict=True)
    return [place for place, own in enumerate(cells) if any(cell.paper is not None or cell.ours for cell in own)]


def headline(order: pd.DataFrame) -> list[str]:
    """A line for each table whose order can be compared, for a terminal."""
    lines = []
    for caption, pairs in order[order["agrees"].notna()].groupby("caption", sort=False):
        agree, sure = pairs["agrees"].astype(bool), pairs["significant"].astype(bool)
        lines.append(
            f"{caption}: {int(agree.sum())} of {len(pairs)} pairs of rows in the paper's order, "
            f"{int((agree & sure).sum())} beyond chance; {int((~agree & sure).sum())} beyond chance the other way"
        )
    return lines


def cls_table(statistics: Mapping[tuple[str, int], Mapping[str, Any]]) -> pd.DataFrame:
    """CLS_COLUMNS of each run and encoder (`encoder`, and `teacher` where there was one), from cls_statistics.json."""
    rows = [
        {"variant": variant, "seed": seed, "encoder": encoder, **found}
        for (variant, seed), own in statistics.items()
        for encoder, found in own.items()
        if found is not None
    ]
    return pd.json_normalize(rows, sep="_").reindex(columns=CLS_COLUMNS)
