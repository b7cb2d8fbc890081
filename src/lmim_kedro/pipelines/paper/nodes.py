"""Nodes of the paper pipeline. `runs`: by variant and seed, a function that loads what that run left."""

import logging

from lmim_kedro.params import EvaluationParams
from lmim_kedro.pipelines.node_types import Arrays, DataFrame, Json, PaperTable, Results, Runs, ndarray

log = logging.getLogger(__name__)


def build_tables(runs: Runs[DataFrame], env: str, evaluation: EvaluationParams) -> tuple[Results, list[PaperTable]]:
    """The verdicts of all runs, and the paper's tables with them."""
    from lmim_kedro.reporting.paper import results, tables

    found = results.read_results(runs, env, evaluation.metric, evaluation.labels)
    return found, tables.build_tables(found)


def format_tables(tables: list[PaperTable], results: Results) -> tuple[DataFrame, str, str]:
    """The tables as one long table, as Markdown and as LaTeX."""
    from lmim_kedro.reporting.paper.formats import long_table, to_latex, to_markdown

    return long_table(tables, results.env), to_markdown(tables, results), to_latex(tables, results)


def compare_order(tables: list[PaperTable], results: Results) -> DataFrame:
    """Which pairs of rows come in the paper's order, and how sure that is."""
    from lmim_kedro.reporting.paper import ordering

    return ordering.compare_order(tables, results)


def tabulate_cls(runs: Runs[Json]) -> DataFrame:
    """Spread and rank of [cls] and patch features: a row for each run and encoder."""
    from lmim_kedro.reporting.paper.page import cls_table

    return cls_table({run: load() for run, load in runs.items()})


def draw_losses(teacher: Runs[DataFrame], pretraining: Runs[DataFrame], finetuning: Runs[DataFrame]) -> ndarray:
    """Loss curves of every variant, of its first seed."""
    from lmim_kedro.reporting.paper import figures, selection

    stages = {"Teacher": teacher, "Pre-training": pretraining, "Fine-tuning": finetuning}
    first = {title: selection.first_seeds(runs) for title, runs in stages.items()}
    return figures.draw_losses({title: {name: load() for name, load in runs.items()} for title, runs in first.items()})


def draw_lengths(runs: Runs[DataFrame], evaluation: EvaluationParams) -> ndarray:
    """Accuracy by word length of each method, over its seeds."""
    from lmim_kedro.reporting.paper import figures, selection
    from lmim_kedro.scoring.analysis import accuracy_by_length

    tables = {
        title: [accuracy_by_length(load(), evaluation.metric) for (name, _), load in runs.items() if name == variant]
        for variant, title in selection.methods(runs).items()
    }
    return figures.draw_lengths(tables, evaluation.metric)


def draw_attention(runs: Runs[Arrays]) -> ndarray:
    """Attention of the methods on the same crops, queries marked."""
    from lmim_kedro.reporting.paper import figures, selection

    return figures.draw_attention(selection.arrays_of_methods(runs))


def draw_reconstructions(runs: Runs[Arrays]) -> ndarray:
    """What the methods predict for masked crops."""
    from lmim_kedro.reporting.paper import figures, selection

    return figures.draw_reconstructions(selection.arrays_of_methods(runs))


def draw_neighbors(runs: Runs[Arrays]) -> ndarray:
    """The nearest crops by [cls], before and after alignment; or of what was run."""
    from lmim_kedro.reporting.paper import figures, selection

    return figures.draw_neighbors(selection.neighbors_by_cls(runs))


def render_page(
    tables: list[PaperTable], order: DataFrame, cls_table: DataFrame, results: Results, **figures: ndarray
) -> str:
    """The page; how many pairs of rows keep the paper's order is logged."""
    from lmim_kedro.reporting.paper.page import headline, render_tables

    for line in headline(order):
        log.info(line)
    return render_tables(tables, order, cls_table, figures, results)
