"""Tables of a report: accuracies, the paper's rows beside ours, what the stages cost, the data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from lmim_kedro.reporting.paper.published import (
    CAPTIONS,
    PublishedRow,
    counterparts,
    published_accuracy,
    published_rows,
)
from lmim_kedro.reporting.rendering import markdown, markdown_code, plain_markdown
from lmim_kedro.scoring.metrics import METRICS, accuracies_with
from lmim_kedro.scoring.protocols import get_protocol


@dataclass(frozen=True)
class ComparedRow:
    """One row of a table of the paper, or ours in it. Kind: ours, counterpart or other; cells: percent or None."""

    name: str
    detail: str
    kind: str
    cells: list[float | None]


@dataclass(frozen=True)
class ComparedTable:
    """A table of the paper with our row on top."""

    caption: str
    columns: list[str]
    rows: list[ComparedRow]


def accuracy_table(scores: Mapping[str, Any]) -> pd.DataFrame:
    """One row per benchmark, and two per protocol that could be averaged.

    Args:
        scores: from reporting.scores.build_scores.

    Returns:
        benchmark, crops (scored), unscorable; in percent the accuracies, low and high (bootstrap, 95 %) of the first of
        them, one_minus_ned, beside (another recognizer's, where there is one), paper; paper_row says which row of the
        paper. Cells without a value are missing.
    """
    metric, variant, env = scores["metric"], scores["variant"], scores["env"]
    kinds = accuracies_with(metric)
    beside = (scores.get("beside") or {}).get("accuracy", {})
    rows: list[dict[str, Any]] = []
    for benchmark, accuracy in scores["accuracy"].items():
        low, high = scores["interval_95"][benchmark]
        found = published_accuracy(variant, env, benchmark, scores["labels"])
        fractions = {metric: accuracy[metric], "low": low, "high": high}
        fractions |= {kind: accuracy[kind] for kind in (*kinds[1:], "one_minus_ned")}
        fractions |= {"beside": beside[benchmark]} if beside else {}
        rows.append(
            {"benchmark": benchmark, "crops": accuracy["n"], "unscorable": accuracy["unscorable"]}
            | {f"{name}_percent": percent(fraction) for name, fraction in fractions.items()}
            | {"paper_percent": found[0] if found else None, "paper_row": row_name(found[1]) if found else None}
        )
    for protocol, average in scores["averages"].items():
        beside = counterparts(variant, env)
        same = next((row for row in beside if (row.protocol, row.labels) == (protocol, average["labels"])), None)
        for column, title in (("avg", "Avg"), ("weighted_avg", "W-Avg")):
            paper = getattr(same, column, None)
            rows.append(
                {"benchmark": f"{protocol} {title}", "crops": average["n"]}
                | {f"{metric}_percent": percent(average[column]), "paper_percent": paper}
                | {"paper_row": row_name(same) if same and paper is not None else None}
            )
    table = pd.DataFrame(rows)
    return table.astype({"crops": "Int64", "unscorable": "Int64", "paper_percent": "Float64"})


def compared_tables(scores: Mapping[str, Any]) -> list[ComparedTable]:
    """The paper's tables that have a row of our variant and a column of our benchmarks, our row on top.

    Only rows that the authors ran themselves are included.
    """
    variant, accuracy = scores["variant"], scores["accuracy"]
    beside = counterparts(variant, scores["env"])
    tables = []
    for number in sorted({row.table for row in beside}, key=lambda number: (number < 6, number)):
        columns = get_protocol(next(row.protocol for row in beside if row.table == number)).subsets
        if not set(columns) & set(accuracy):
            continue
        rows = [_our_row(scores, columns)]
        for row in published_rows():
            if row.table == number and row.variant:
                same = row in beside and row.has_labels(scores["labels"]) and scores["finetuning"] == "reference"
                kind = "counterpart" if same else "other"
                cells = [row.accuracies.get(name) for name in columns]
                rows.append(ComparedRow(row.name, row.detail, kind, [*cells, row.avg, row.weighted_avg]))
        titles = [*columns, "Avg", "W-Avg"]
        given = [place for place in range(len(titles)) if any(row.cells[place] is not None for row in rows)]
        rows = [replace(row, cells=[row.cells[place] for place in given]) for row in rows]
        tables.append(ComparedTable(CAPTIONS[number], [titles[place] for place in given], rows))
    return tables


def _our_row(scores: Mapping[str, Any], columns: tuple[str, ...]) -> ComparedRow:
    accuracy = scores["accuracy"]
    names = [name for name in scores["averages"] if get_protocol(name).subsets == columns]
    average = scores["averages"][names[0]] if names else {}
    cells = [percent(accuracy[name][scores["metric"]]) if name in accuracy else None for name in columns]
    cells += [percent(average.get(key)) for key in ("avg", "weighted_avg")]
    detail = f"{scores['variant']}, {scores['model']}, fine-tuned {scores['finetuning']}, seed {scores['seed']}"
    if scores["labels"] != "original":
        detail += f", {scores['labels']} labels"
    return ComparedRow("this run", detail, "ours", cells)


def training_table(stages: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Summarize each stage of training that ran, in one row.

    Args:
        stages: metrics tables by name of stage; empty ones are left out.

    Returns: stage; steps, epochs, loss, seconds at the end; first_loss; peak_learning_rate; crops_per_second (median).
    """
    return [
        {
            "stage": stage,
            "steps": int(metrics["step"].iloc[-1]),
            "epochs": float(metrics["epoch"].iloc[-1]),
            "first_loss": float(metrics["loss"].iloc[0]),
            "loss": float(metrics["loss"].iloc[-1]),
            "peak_learning_rate": float(metrics["learning_rate"].max()),
            "crops_per_second": float(metrics["crops_per_second"].median()),
            "seconds": float(metrics["seconds"].iloc[-1]),
        }
        for stage, metrics in stages.items()
        if not metrics.empty
    ]


def to_markdown(table: pd.DataFrame, scores: Mapping[str, Any]) -> str:
    """The accuracy table as Markdown, under a line that says what made it."""
    name = {key: markdown_code(str(scores[key])) for key in ("variant", "env", "model", "finetuning")}
    heading = (
        f"Variant {name['variant']}, environment {name['env']}, seed {scores['seed']}, model {name['model']}, "
        f"fine-tuning preset {name['finetuning']}. In percent; low and high: "
        f"{METRICS[scores['metric']].title}, 95 % bootstrap interval over crops; {scores['labels']} labels."
    )
    texts = {}
    for name in table.columns:
        form = "{:.1f}" if name == "paper_percent" else "{:.2f}" if name.endswith("_percent") else "{}"
        short = name.removesuffix("_percent").replace("_", " ")
        texts[short] = ["" if pd.isna(value) else form.format(value) for value in table[name]]
    notes = [f"\n{plain_markdown(note)}" for note in scores["notes"]]
    return "\n".join([heading, "", markdown(pd.DataFrame(texts), ["benchmark", "paper row"]), *notes, ""])


def row_name(row: PublishedRow) -> str:
    """Name a row in a line, such as `Table 7, LMIM, 10 epochs, Union14M-L`."""
    return ", ".join(filter(None, (f"Table {row.table}", row.name, row.detail)))


def percent(fraction: float | None) -> float | None:
    """Round a fraction of 1 to percent with two decimals; None stays None.

    Example:
        >>> percent(2 / 3)
        66.67
    """
    return None if fraction is None else round(100 * fraction, 2)
