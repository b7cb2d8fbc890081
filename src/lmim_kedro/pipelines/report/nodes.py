"""Nodes of the report stage."""

import logging
from typing import Any

from lmim_kedro.params import EvaluationParams

log = logging.getLogger(__name__)


def score_predictions(predictions: Any, recipe: dict[str, Any], evaluation: EvaluationParams) -> dict[str, Any]:
    """Accuracies of every benchmark, with intervals, and averages of whole protocols."""
    from lmim_kedro.reporting.scores import build_scores

    return build_scores(predictions, recipe, evaluation.metric, evaluation.labels)


def summarize(scores: dict[str, Any]) -> dict[str, Any]:
    """The few numbers by which `dvc metrics show` and `dvc exp show` compare runs."""
    from lmim_kedro.reporting import scores as library

    return library.summarize(scores)


def tabulate(scores: dict[str, Any]) -> tuple[Any, str]:
    """The accuracies as a table, the paper's beside them, and the same as Markdown."""
    from lmim_kedro.reporting.tables import accuracy_table, to_markdown

    table = accuracy_table(scores)
    return table, to_markdown(table, scores)


def analyze(predictions: Any, evaluation: EvaluationParams) -> tuple[Any, Any, Any, Any, Any]:
    """Accuracy by length, by shape of the crop and by character; confusions of characters; calibration."""
    from lmim_kedro.scoring import analysis

    return (
        analysis.accuracy_by_length(predictions, evaluation.metric),
        analysis.accuracy_by_aspect(predictions, evaluation.metric),
        analysis.accuracy_by_character(predictions, evaluation.metric),
        analysis.confusions(predictions, evaluation.metric),
        analysis.calibration(predictions, evaluation.metric),
    )


def draw_figures(
    by_length: Any,
    by_aspect: Any,
    calibration: Any,
    teacher: Any,
    pretraining: Any,
    finetuning: Any,
    evaluation: EvaluationParams,
) -> Any:
    """Loss curves of each stage, accuracy over word length and shape, and the reliability curve."""
    from lmim_kedro.reporting import figures

    return figures.Figures(
        figures.draw_training(teacher, pretraining, finetuning),
        figures.draw_accuracy_by("length", by_length, evaluation.metric),
        figures.draw_accuracy_by("aspect", by_aspect, evaluation.metric),
        figures.draw_calibration(calibration, evaluation.metric),
    )


def choose_readings(predictions: Any, crops: Any, evaluation: EvaluationParams) -> Any:
    """Right and wrong readings with their crops."""
    from lmim_kedro.reporting import shown_readings as library

    return library.choose_readings(predictions, crops, evaluation.metric)


def render_page(
    scores: dict[str, Any],
    recipe: dict[str, Any],
    facts: dict[str, Any],
    figures: Any,
    readings: Any,
    confusions: Any,
    sheet: Any,
    attention: Any,
    reconstructions: Any,
    cls_statistics: dict[str, Any],
    **tables: Any,
) -> str:
    """The page; the accuracies are logged.

    Args:
        tables: metrics of the stages teacher, pretraining, finetuning; ingest summaries pretraining_summary, ...;
            data_card.
    """
    from lmim_kedro.reporting import sections

    stages = {"teacher": "teacher", "pretraining": "pre-training", "finetuning": "fine-tuning"}
    uses = {"pretraining": "Pre-training", "finetuning": "Fine-tuning", "benchmarks": "Benchmarks"}
    report = sections.Report(
        scores,
        recipe,
        facts,
        stages={title: tables[name] for name, title in stages.items()},
        summaries={title: tables[f"{name}_summary"] for name, title in uses.items()},
        figures=figures,
        readings=readings,
        confusions=confusions,
        sheet=sheet,
        attention=attention,
        reconstructions=reconstructions,
        cls_statistics=cls_statistics,
        data_card=tables["data_card"],
    )
    for line in sections.headline(scores):
        log.info(line)
    return sections.render_page(report)
