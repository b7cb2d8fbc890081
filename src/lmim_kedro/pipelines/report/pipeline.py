"""The report stage: everything -> scores, tables, page."""

from kedro.pipeline import Pipeline, node, pipeline

from lmim_kedro.pipelines.report.nodes import (
    analyze,
    choose_readings,
    draw_figures,
    render_page,
    score_predictions,
    summarize,
    tabulate,
)


def create_pipeline() -> Pipeline:
    """What was read, and all that led to it, in; scores.json, the tables and one page out."""
    return pipeline(
        [
            node(score_predictions, ["predictions", "recipe", "params:evaluation"], "scores", name="score_predictions"),
            node(summarize, "scores", "metrics", name="summarize"),
            node(tabulate, "scores", ["accuracy_table", "accuracy_markdown"], name="tabulate"),
            node(
                analyze,
                ["predictions", "params:evaluation"],
                ["accuracy_by_length", "accuracy_by_aspect", "accuracy_by_character", "confusions", "calibration"],
                name="analyze",
            ),
            node(
                draw_figures,
                [
                    "accuracy_by_length",
                    "accuracy_by_aspect",
                    "calibration",
                    "teacher_metrics",
                    "pretraining_metrics",
                    "finetuning_metrics",
                    "params:evaluation",
                ],
                "figures",
                name="draw_figures",
            ),
            node(
                choose_readings,
                ["predictions", "benchmarks.crops", "params:evaluation"],
                "shown_readings",
                name="choose_readings",
            ),
            node(
                render_page,
                {
                    "scores": "scores",
                    "recipe": "recipe",
                    "facts": "run_facts",
                    "figures": "figures",
                    "readings": "shown_readings",
                    "confusions": "confusions",
                    "sheet": "views.sheet",
                    "attention": "attention",
                    "reconstructions": "reconstructions",
                    "cls_statistics": "cls_statistics",
                    "teacher": "teacher_metrics",
                    "pretraining": "pretraining_metrics",
                    "finetuning": "finetuning_metrics",
                    "pretraining_summary": "pretraining.summary",
                    "finetuning_summary": "finetuning.summary",
                    "benchmarks_summary": "benchmarks.summary",
                    "data_card": "data_card",
                },
                "report",
                name="render_page",
            ),
        ]
    )
