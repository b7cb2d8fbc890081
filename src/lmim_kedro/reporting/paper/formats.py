"""The paper's tables beside ours, as one long table, as Markdown and as LaTeX."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from lmim_kedro.reporting.paper.results import Results
from lmim_kedro.reporting.paper.tables import COMPANIONS, MEAN, Cell, PaperTable
from lmim_kedro.reporting.rendering import markdown, plain_markdown
from lmim_kedro.scoring.metrics import METRICS


def long_table(tables: Sequence[PaperTable], env: str) -> pd.DataFrame:
    """Make one table with a row for every cell of every table, empty ones included.

    Returns:
        table, caption, row, detail, source, variant, column; paper_percent, ours_percent (mean over seeds),
        std_percent, min_percent, max_percent; seeds (how many), crops, env; note.
    """
    rows = []
    for table in tables:
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                extremes = (("min", min(cell.ours, default=None)), ("max", max(cell.ours, default=None)))
                ours = (("ours", cell.mean), ("std", cell.std), *extremes)
                rows.append(
                    {
                        "table": table.number,
                        "caption": table.caption,
                        "row": row.name,
                        "detail": row.detail,
                        "source": row.source,
                        "variant": row.variant,
                        "column": column,
                        "paper_percent": cell.paper,
                        **{f"{name}_percent": None if value is None else round(value, 4) for name, value in ours},
                        "seeds": len(cell.ours),
                        "crops": row.crops,
                        "env": env if row.crops else None,
                        "note": row.note,
                    }
                )
    percents = {name: "Float64" for name in rows[0] if name.endswith("_percent")} if rows else {}
    return pd.DataFrame(rows).astype(percents)


def summary(results: Results) -> str:
    """How to read the tables, in a paragraph; a warning if LMIM's baseline was not trained for as long."""
    of = ", ".join(f"{name} ({len(places):,} crops)" for name, places in results.benchmarks.items())
    missing = [
        f"`{name}` ({why})"
        for baseline, companions in COMPANIONS.items()
        if {"lmim", baseline} <= results.seeds.keys()
        for name, why in companions.items()
        if name not in results.seeds
    ]
    how = (
        f"{METRICS[results.metric].title} in percent. In a cell, the paper's value, then ours: mean over seeds ± "
        f"standard deviation. Ours were run at the size of environment {results.env}, and read {of}. Cells never run "
        f"are empty. Where the columns are not the paper's benchmarks, '{MEAN}' is over all of ours: other crops than "
        "the paper's, so that only the order of rows can be compared."
    )
    return f"{how} LMIM's lead over MIM may be longer training: not run is {' nor '.join(missing)}." if missing else how


def to_markdown(tables: Sequence[PaperTable], results: Results) -> str:
    """All tables in Markdown, each under its caption."""
    parts = [summary(replace(results, env=plain_markdown(results.env))), ""]
    for table in tables:
        parts += [f"## {plain_markdown(table.caption)}", "", markdown(_texts(table, results), _LEFT), ""]
    return "\n".join(parts)


def to_latex(tables: Sequence[PaperTable], results: Results) -> str:
    r"""All tables as `table*` environments for a document with booktabs: \input{tables.tex}."""
    parts = [f"% {summary(results)}", r"% \usepackage{booktabs}"]
    for table in tables:
        texts = _texts(table, results).drop(columns=["source", "variant", "env"])
        texts.loc[[row.source == "cited" for row in table.rows], "row"] += " (cited)"
        style = texts.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis=1)
        style = style.format(lambda text: text.replace("±", "$\\pm$"), subset=texts.columns[1:])
        parts.append(
            style.to_latex(
                hrules=True,
                column_format="l" + "r" * (len(texts.columns) - 1),
                caption=f"{table.caption} ({results.env})".replace("_", r"\_"),
                environment="table*",
                position_float="centering",
            ).replace("\\centering\n", "\\centering\\small\n")
        )
    return "\n".join(parts)


_LEFT = ["row", "source", "variant", "env"]


def _texts(table: PaperTable, results: Results) -> pd.DataFrame:
    """A table as texts: a row for each of its rows, with the cells as they are printed."""
    rows = []
    for row in table.rows:
        run = [str(len(row.seeds)), f"{row.crops:,}", results.env] if row.crops else ["", "", ""]
        name = ", ".join(filter(None, (row.name, row.detail)))
        rows.append([name, row.source, row.variant or "", *map(cell_text, row.cells), *run])
    return pd.DataFrame(rows, columns=["row", "source", "variant", *table.columns, "seeds", "crops", "env"])


def cell_text(cell: Cell) -> str:
    """A cell as text: the paper's value and ours, either alone, or nothing.

    Example:
        >>> cell_text(Cell(81.2, (58.8, 61.2)))
        '81.2 / 60.00 ± 1.70'
    """
    parts = [] if cell.paper is None else [f"{cell.paper:.1f}"]
    if cell.mean is not None:
        parts.append(f"{cell.mean:.2f}" + ("" if cell.std is None else f" ± {cell.std:.2f}"))
    return " / ".join(parts)
