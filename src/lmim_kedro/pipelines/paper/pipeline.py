"""The paper pipeline: every run of an environment -> the paper's tables and figures beside ours."""

from kedro.pipeline import Pipeline, node

from lmim_kedro.pipelines.paper import nodes

FIGURES = ("losses", "lengths", "attention", "reconstructions", "neighbors")
PAGE = {
    **{"tables": "paper_tables", "order": "ordering", "cls_table": "cls_table", "results": "run_results"},
    **{name: f"figure_{name}" for name in FIGURES},
}
"""Arguments of render_page -> datasets."""


def create_pipeline() -> Pipeline:
    """What all runs left in; tables, the order of their rows, figures and one page out."""
    predictions = ["all_predictions", "params:env", "params:evaluation"]
    tables = ["paper_tables", "run_results"]
    formats = ["tables_long", "tables_markdown", "tables_latex"]
    losses = ["all_teacher_metrics", "all_pretraining_metrics", "all_finetuning_metrics"]
    lengths = ["all_predictions", "params:evaluation"]
    return Pipeline(
        [
            node(nodes.build_tables, predictions, ["run_results", "paper_tables"], name="build_tables"),
            node(nodes.format_tables, tables, formats, name="format_tables"),
            node(nodes.compare_order, tables, "ordering", name="compare_order"),
            node(nodes.tabulate_cls, "all_cls_statistics", "cls_table", name="tabulate_cls"),
            node(nodes.draw_losses, losses, "figure_losses", name="draw_losses"),
            node(nodes.draw_lengths, lengths, "figure_lengths", name="draw_lengths"),
            node(nodes.draw_attention, "all_attention", "figure_attention", name="draw_attention"),
            node(
                nodes.draw_reconstructions,
                "all_reconstructions",
                "figure_reconstructions",
                name="draw_reconstructions",
            ),
            node(nodes.draw_neighbors, "all_cls_neighbors", "figure_neighbors", name="draw_neighbors"),
            node(nodes.render_page, PAGE, "paper_page", name="render_paper_page"),
        ],
        tags="report",
    )
