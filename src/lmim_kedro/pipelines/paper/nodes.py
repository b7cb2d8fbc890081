"""Nodes of the paper pipeline. `runs`: by variant and seed, a function that loads what that run left."""

import logging
from typing import Any

from lmim_kedro.params import EvaluationParams

log = logging.getLogger(__name__)


def build_tables(runs: dict[Any, Any], env: str, evaluation: EvaluationParams) -> tuple[Any, Any]:
    """The verdicts of all runs, and the paper's tables with them."""
    from lmim_kedro.reporting.paper import tables as paper_tables
    from lmim_kedro.reporting.paper.results import read_results

    results = read_results(runs, env, evaluation.metric, evaluation.labels)
    return results, paper_tables.build_tables(results)


def format_tables(tables: Any, results: Any) -> tuple[Any, str, str]:
    """The tables as one long table, as Markdown and as LaTeX."""
    from lmim_kedro.reporting.paper.formats import long_table, to_latex, to_markdown

    return long_table(tables, results.env), to_markdown(tables, results), to_latex(tables, results)


def compare_order(tables: Any, results: Any) -> Any:
    """Which pairs of rows come in the paper's order, and how sure that is."""
    from lmim_kedro.reporting.paper import ordering

    return ordering.compare_order(tables, results)


def tabulate_cls(runs: dict[Any, Any]) -> Any:
    """Spread and rank of [cls] and patch features: a row for each run and encoder."""
    from lmim_kedro.reporting.paper.page import cls_table

    return cls_table({run: load() for run, load in runs.items()})


def draw_losses(teacher: dict[Any, Any], pretraining: dict[Any, Any], finetuning: dict[Any, Any]) -> Any:
    """Loss curves of every variant, of its first seed."""
    from lmim_kedro.reporting.paper import figures as paper_figures
    from lmim_kedro.reporting.paper.selection import first_seeds

    stages = {"Teacher": teacher, "Pre-training": pretraining, "Fine-tuning": finetuning}
    return paper_figures.draw_losses(
        {title: {variant: load() for variant, load in first_seeds(runs).items()} for title, runs in stages.items()}
    )


def draw_lengths(runs: dict[Any, Any], evaluation: EvaluationParams) -> Any:
    """Accuracy by word length of each method, over its seeds."""
    from lmim_kedro.reporting.paper import figures as paper_figures
    from lmim_kedro.reporting.paper.selection import methods
    from lmim_kedro.scoring.analysis import accuracy_by_length

    tables = {
        title: [accuracy_by_length(load(), evaluation.metric) for (name, _), load in runs.items() if name == variant]
        for variant, title in methods(runs).items()
    }
    return paper_figures.draw_lengths(tables, evaluation.metric)


def draw_attention(runs: dict[Any, Any]) -> Any:
    """Attention of the methods on the same crops, queries marked."""
    from lmim_kedro.reporting.paper import figures as paper_figures
    from lmim_kedro.reporting.paper.selection import arrays_of_methods

    return paper_figures.draw_attention(arrays_of_methods(runs))


def draw_reconstructions(runs: dict[Any, Any]) -> Any:
    """What the methods predict for masked crops."""
    from lmim_kedro.reporting.paper import figures as paper_figures
    from lmim_kedro.reporting.paper.selection import arrays_of_methods

    return paper_figures.draw_reconstructions(arrays_of_methods(runs))


def draw_neighbors(runs: dict[Any, Any]) -> Any:
    """The nearest crops by [cls], before and after alignment; or of what was run."""
    from lmim_kedro.reporting.paper import figures as paper_figures
    from lmim_kedro.reporting.paper.selection import neighbors_by_cls

    return paper_figures.draw_neighbors(neighbors_by_cls(runs))


def render_page(tables: Any, order: Any, cls_table: Any, results: Any, **figures: Any) -> str:
    """The page; how many pairs of rows keep the paper's order is logged."""
    from lmim_kedro.reporting.paper.page import headline, render_tables

    for line in headline(order):
        log.info(line)
    return render_tables(tables, order, cls_table, figures, results)
