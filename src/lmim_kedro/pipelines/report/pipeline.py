"""The report stage: everything -> scores, tables, page."""

from kedro.pipeline import Pipeline, node

from lmim_kedro.pipelines.report import nodes

PAGE = (
    {"facts": "run_facts", "readings": "shown_readings", "sheet": "views.sheet"}
    | {name: name for name in ("scores", "recipe", "figures", "confusions", "data_card")}
    | {name: name for name in ("attention", "reconstructions", "cls_statistics")}
    | {stage: f"{stage}_metrics" for stage in ("teacher", "pretraining", "finetuning")}
    | {f"{use}_summary": f"{use}.summary" for use in ("pretraining", "finetuning", "benchmarks")}
)
"""Arguments of render_page -> datasets."""


def create_pipeline() -> Pipeline:
    """What was read, and all that led to it, in; scores.json, the tables and one page out."""
    analyses = ["accuracy_by_length", "accuracy_by_aspect", "accuracy_by_character", "confusions", "calibration"]
    scored = ["predictions", "recipe", "params:evaluation"]
    judged = ["predictions", "params:evaluation"]
    drawn = [
        *("accuracy_by_length", "accuracy_by_aspect", "calibration"),
        *("teacher_metrics", "pretraining_metrics", "finetuning_metrics", "params:evaluation"),
    ]
    described = ["scores", "recipe", "run_facts", "data_card", "params:card"]
    shown = ["predictions", "benchmarks.crops", "params:evaluation"]
    return Pipeline(
        [
            node(nodes.score_predictions, scored, "scores", name="score_predictions"),
            node(nodes.summarize, "scores", "metrics", name="summarize"),
            node(nodes.describe_recognizer, described, "scored_model_card", name="describe_recognizer"),
            node(nodes.tabulate, "scores", ["accuracy_table", "accuracy_markdown"], name="tabulate"),
            node(nodes.analyze, judged, analyses, name="analyze"),
            node(nodes.draw_figures, drawn, "figures", name="draw_figures"),
            node(nodes.choose_readings, shown, "shown_readings", name="choose_readings"),
            node(nodes.render_page, PAGE, "report", name="render_page"),
        ],
        tags="report",
    )
