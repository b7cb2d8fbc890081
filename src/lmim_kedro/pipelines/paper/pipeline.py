"""The paper pipeline: every run of an environment -> the paper's tables and figures beside ours."""

from kedro.pipeline import Pipeline, node, pipeline

from lmim_kedro.pipelines.paper.nodes import (
    build_tables,
    compare_order,
    draw_attention,
    draw_lengths,
    draw_losses,
    draw_neighbors,
    draw_reconstructions,
    format_tables,
    render_page,
    tabulate_cls,
)


def create_pipeline() -> Pipeline:
    """What all runs left in; tables, the order of their rows, figures and one page out."""
    return pipeline(
        [
            node(
                build_tables,
                ["all_predictions", "params:env", "params:evaluation"],
                ["run_results", "paper_tables"],
                name="build_tables",
            ),
            node(
                format_tables,
                ["paper_tables", "run_results"],
                ["tables_long", "tables_markdown", "tables_latex"],
                name="format_tables",
            ),
            node(compare_order, ["paper_tables", "run_results"], "ordering", name="compare_order"),
            node(tabulate_cls, "all_cls_statistics", "cls_table", name="tabulate_cls"),
            node(
                draw_losses,
                ["all_teacher_metrics", "all_pretraining_metrics", "all_finetuning_metrics"],
                "figure_losses",
                name="draw_losses",
            ),
            node(draw_lengths, ["all_predictions", "params:evaluation"], "figure_lengths", name="draw_lengths"),
            node(draw_attention, "all_attention", "figure_attention", name="draw_attention"),
            node(draw_reconstructions, "all_reconstructions", "figure_reconstructions", name="draw_reconstructions"),
            node(draw_neighbors, "all_cls_neighbors", "figure_neighbors", name="draw_neighbors"),
            node(
                render_page,
                {
                    "tables": "paper_tables",
                    "order": "ordering",
                    "cls_table": "cls_table",
                    "results": "run_results",
                    "losses": "figure_losses",
                    "lengths": "figure_lengths",
                    "attention": "figure_attention",
                    "reconstructions": "figure_reconstructions",
                    "neighbors": "figure_neighbors",
                },
                "paper_page",
                name="render_paper_page",
            ),
        ]
    )
