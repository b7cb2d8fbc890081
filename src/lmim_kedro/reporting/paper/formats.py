"""The paper's tables beside ours as a long table, as Markdown and as LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmim_kedro.reporting.paper.results import Results
from lmim_kedro.reporting.paper.rows import COMPANIONS
from lmim_kedro.reporting.paper.tables import MEAN, Cell, PaperTable, TableRow
from lmim_kedro.scoring.metrics import METRICS

if TYPE_CHECKING:
    import pandas as pd

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def long_table(tables: Sequence[PaperTable], env: str) -> pd.DataFrame:
    """A row for every cell of every table, empty ones included.

    Returns:
        table, caption, row, detail, source, variant, column; paper_percent, ours_percent (mean over seeds),
        std_percent, min_percent, max_percent; seeds (how many), crops, env; note.
    """
    import pandas as pd

    rows = []
    for table in tables:
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
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
                        "ours_percent": _rounded(cell.mean),
                        "std_percent": _rounded(cell.std),
                        "min_percent": _rounded(min(cell.ours, default=None)),
                        "max_percent": _rounded(max(cell.ours, default=None)),
                        "seeds": len(cell.ours),
                        "crops": row.crops,
                        "env": env if row.crops else None,
                        "note": row.note,
                    }
                )
    percents = {name: "Float64" for name in rows[0] if name.endswith("_percent")} if rows else {}
    return pd.DataFrame(rows).astype(percents)


def summary(results: Results) -> str:
    """How to read the tables, in a paragraph."""
    of = ", ".join(f"{name} ({len(places):,} crops)" for name, places in results.benchmarks.items())
    return (
        f"{METRICS[results.metric].title} in percent. In a cell, the paper's value, then ours: mean over seeds ± "
        f"standard deviation. Ours were run at the size of environment {results.env}, and read {of}. Cells never run "
        f"are empty. Where the columns are not the paper's benchmarks, '{MEAN}' is over all of ours: other crops than "
        "the paper's, so that only the order of rows can be compared."
        f"{_not_beside(results)}"
    )


def _not_beside(results: Results) -> str:
    """A warning where LMIM stands beside a baseline without those that were trained as long as it was; or nothing."""
    missing = [
        f"`{name}` ({why})"
        for baseline, companions in COMPANIONS.items()
        if {"lmim", baseline} <= results.seeds.keys()
        for name, why in companions.items()
        if name not in results.seeds
    ]
    return f" LMIM's lead over MIM may be longer training: not run is {' nor '.join(missing)}." if missing else ""


def to_markdown(tables: Sequence[PaperTable], results: Results) -> str:
    """All tables, each under its caption."""
    parts = [summary(results), ""]
    for table in tables:
        titles = ["row", "source", "variant", *table.columns, "seeds", "crops", "env"]
        parts += [f"## {table.caption}", "", _line(titles)]
        parts.append(_line(["---"] * 3 + ["---:"] * (len(table.columns) + 2) + ["---"]))
        for row in table.rows:
            cells = [cell_text(cell) for cell in row.cells]
            parts.append(_line([_name(row), row.source, row.variant or "", *cells, *_run(row, results.env)]))
        parts.append("")
    return "\n".join(parts)


def to_latex(tables: Sequence[PaperTable], results: Results) -> str:
    r"""All tables as `table*` environments for a document with booktabs: \input{tables.tex}."""
    parts = [f"% {summary(results)}", r"% \usepackage{booktabs}"]
    for table in tables:
        titles = ["row", *table.columns, "seeds", "crops"]
        parts += [
            r"\begin{table*}",
            r"\centering\small",
            rf"\caption{{{_escape(table.caption)} ({_escape(results.env)})}}",
            rf"\begin{{tabular}}{{l{'r' * (len(titles) - 1)}}}",
            r"\toprule",
            _latex_line([_escape(title) for title in titles]),
            r"\midrule",
        ]
        for row in table.rows:
            cells = [cell_text(cell, " $\\pm$ ", " / ") for cell in row.cells]
            name = _escape(_name(row)) + (r" \emph{(cited)}" if row.source == "cited" else "")
            parts.append(_latex_line([name, *cells, *_run(row, results.env)[:2]]))
        parts += [r"\bottomrule", r"\end{tabular}", r"\end{table*}", ""]
    return "\n".join(parts)


def cell_text(cell: Cell, plus_minus: str = " ± ", between: str = " / ") -> str:
    """Such as `81.2 / 60.00 ± 1.20`; the paper's alone, ours alone, or nothing."""
    parts = [] if cell.paper is None else [f"{cell.paper:.1f}"]
    if cell.mean is not None:
        parts.append(f"{cell.mean:.2f}" + ("" if cell.std is None else f"{plus_minus}{cell.std:.2f}"))
    return between.join(parts)


def _name(row: TableRow) -> str:
    return ", ".join(filter(None, (row.name, row.detail)))


def _run(row: TableRow, env: str) -> list[str]:
    return [str(len(row.seeds)), f"{row.crops:,}", env] if row.crops else ["", "", ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _latex_line(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} " + r"\\"


def _escape(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
