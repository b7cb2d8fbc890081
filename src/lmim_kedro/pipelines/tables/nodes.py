"""Nodes of the tables pipeline. `runs`: by variant and seed, a function that loads what that run left."""

from __future__ import annotations

import logging
from typing import Any

from lmim_kedro.params import EvaluationParams

log = logging.getLogger(__name__)

_SHOWN = 4
"""Variants in a picture where none of the paper's methods has been run."""


def build_tables(runs: dict[Any, Any], env: str, evaluation: EvaluationParams) -> tuple[Any, Any]:
    """The verdicts of all runs, and the paper's tables with them."""
    from lmim_kedro.reporting import paper_tables
    from lmim_kedro.reporting.results import read_results

    results = read_results(runs, env, evaluation.metric, evaluation.labels)
    return results, paper_tables.build_tables(results)


def format_tables(tables: Any, results: Any) -> tuple[Any, str, str]:
    """The tables as one long table, as Markdown and as LaTeX."""
    from lmim_kedro.reporting.paper_formats import long_table, to_latex, to_markdown

    return long_table(tables, results.env), to_markdown(tables, results), to_latex(tables, results)


def compare_order(tables: Any, results: Any) -> Any:
    """Which pairs of rows come in the paper's order, and how sure that is."""
    from lmim_kedro.reporting import ordering

    return ordering.compare_order(tables, results)


def tabulate_cls(runs: dict[Any, Any]) -> Any:
    """Spread and rank of [cls] and patch features: a row for each run and encoder."""
    import pandas as pd

    from lmim_kedro.reporting.tables_page import CLS_COLUMNS, cls_rows

    return pd.DataFrame(cls_rows({run: load() for run, load in runs.items()}), columns=CLS_COLUMNS)


def draw_losses(teacher: dict[Any, Any], pretraining: dict[Any, Any], finetuning: dict[Any, Any]) -> Any:
    """Loss curves of every variant, of its first seed."""
    from lmim_kedro.reporting import comparison_figures

    stages = {"Teacher": teacher, "Pre-training": pretraining, "Fine-tuning": finetuning}
    first = {title: _first_seeds(runs) for title, runs in stages.items()}
    return comparison_figures.draw_losses(
        {title: {variant: load() for variant, load in runs.items()} for title, runs in first.items()}
    )


def draw_lengths(runs: dict[Any, Any], evaluation: EvaluationParams) -> Any:
    """Accuracy by word length of each method, over its seeds."""
    from lmim_kedro.reporting import comparison_figures
    from lmim_kedro.scoring.analysis import accuracy_by_length

    tables = {
        title: [accuracy_by_length(load(), evaluation.metric) for (name, _), load in runs.items() if name == variant]
        for variant, title in _methods(runs).items()
    }
    return comparison_figures.draw_lengths(tables, evaluation.metric)


def draw_attention(runs: dict[Any, Any]) -> Any:
    """Attention of the methods on the same crops, queries marked."""
    from lmim_kedro.reporting import comparison_figures

    return comparison_figures.draw_attention(_arrays(runs))


def draw_reconstructions(runs: dict[Any, Any]) -> Any:
    """What the methods predict for masked crops."""
    from lmim_kedro.reporting import comparison_figures

    return comparison_figures.draw_reconstructions(_arrays(runs))


def draw_neighbours(runs: dict[Any, Any]) -> Any:
    """The nearest crops by [cls], before alignment (the teacher), without it, and after it; or of what was run."""
    import numpy as np

    from lmim_kedro.reporting import comparison_figures

    shown: dict[str, tuple[Any, str]] = {title: (own, "encoder") for title, own in list(_arrays(runs).items())[-1:]}
    first = _first_seeds(runs)
    if "lmim" in first and (aligned := first["lmim"]()):
        unaligned = first["no_alignment"]() if "no_alignment" in first else {}
        if unaligned and not np.array_equal(unaligned["queries"], aligned["queries"]):
            unaligned = {}  # evaluated on other crops
        sides = {
            "before: teacher": (aligned, "teacher"),
            "not aligned": (unaligned, "encoder"),
            "after: LMIM": (aligned, "encoder"),
        }
        shown = {title: (own, side) for title, (own, side) in sides.items() if side in own}
    return comparison_figures.draw_neighbours(
        {
            title: {
                "queries": own["queries"],
                "query_labels": own["query_labels"],
                "neighbours": own[side],
                "labels": own[f"{side}_labels"],
                "cosines": own[f"{side}_cosines"],
            }
            for title, (own, side) in shown.items()
        }
    )


def render_page(tables: Any, order: Any, cls_table: Any, results: Any, **figures: Any) -> str:
    """The page; how many pairs of rows keep the paper's order is logged."""
    from lmim_kedro.reporting.tables_page import headline, render_tables

    for line in headline(order):
        log.info(line)
    return render_tables(tables, order, cls_table, figures, results)


def _first_seeds(runs: dict[Any, Any]) -> dict[str, Any]:
    """Variant -> what loads its smallest seed; runs are in the order of their names."""
    found: dict[str, Any] = {}
    for (variant, _), load in runs.items():
        found.setdefault(variant, load)
    return found


def _methods(runs: dict[Any, Any]) -> dict[str, str]:
    """Variant -> title: the paper's methods that were run, or else a few of what there is."""
    from lmim_kedro.reporting.paper_rows import METHODS

    variants = list(dict.fromkeys(variant for variant, _ in runs))
    found = {variant: title for variant, title in METHODS.items() if variant in variants}
    return found or {variant: variant for variant in variants[:_SHOWN]}


def _arrays(runs: dict[Any, Any]) -> dict[str, Any]:
    """Title of a method -> the arrays of its first seed; methods that left none are not in it."""
    first = _first_seeds(runs)
    loaded = {title: first[variant]() for variant, title in _methods(runs).items()}
    return {title: arrays for title, arrays in loaded.items() if arrays}
