"""Nodes of the report stage."""

from lmim_kedro.params import CardParams, EvaluationParams
from lmim_kedro.pipelines.node_types import Arrays, DataFrame, Figures, Json, PackedStore, Readings, ndarray
from lmim_kedro.recipe import require_pair

EVALUATE = "kedro run --pipelines=evaluate,report"


def score_predictions(predictions: DataFrame, recipe: Json, evaluation: EvaluationParams) -> Json:
    """Accuracies of every benchmark, with intervals, and averages of whole protocols.

    Errors: InputError if another recognizer made the predictions than the recipe's.
    """
    from lmim_kedro.reporting.scores import build_scores

    require_pair(recipe, predictions.attrs.get("sha256"), "what was read of the benchmarks", EVALUATE)
    how = evaluation.metric, evaluation.labels, evaluation.looks, evaluation.language
    return build_scores(predictions, recipe, *how, evaluation.beside)


def summarize(scores: Json) -> Json:
    """The few numbers by which `dvc metrics show` and `dvc exp show` compare runs."""
    from lmim_kedro.reporting import scores as library

    return library.summarize(scores)


def describe_recognizer(scores: Json, recipe: Json, facts: Json, data_card: DataFrame, card: CardParams) -> str:
    """The model card of the recognizer, with its scores."""
    from lmim_kedro.reporting.cards import model_card

    trained = data_card[data_card["use"] != "benchmarks"]
    sources = {use: list(zip(rows["source"], rows["ok"], strict=True)) for use, rows in trained.groupby("use")}
    return model_card(recipe, facts, sources, card, scores)


def tabulate(scores: Json) -> tuple[DataFrame, str]:
    """The accuracies as a table, the paper's beside them, and the same as Markdown."""
    from lmim_kedro.reporting.tables import accuracy_table, to_markdown

    table = accuracy_table(scores)
    return table, to_markdown(table, scores)


def analyze(
    predictions: DataFrame, evaluation: EvaluationParams
) -> tuple[DataFrame, DataFrame, DataFrame, DataFrame, DataFrame]:
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
    by_length: DataFrame,
    by_aspect: DataFrame,
    calibration: DataFrame,
    teacher: DataFrame,
    pretraining: DataFrame,
    finetuning: DataFrame,
    evaluation: EvaluationParams,
) -> Figures:
    """Loss curves of each stage, accuracy over word length and shape, and the reliability curve."""
    from lmim_kedro.reporting import figures

    return figures.Figures(
        figures.draw_training(teacher, pretraining, finetuning),
        figures.draw_accuracy_by("length", by_length, evaluation.metric),
        figures.draw_accuracy_by("aspect", by_aspect, evaluation.metric),
        figures.draw_calibration(calibration, evaluation.metric),
    )


def choose_readings(predictions: DataFrame, crops: PackedStore, evaluation: EvaluationParams) -> Readings:
    """Right and wrong readings with their crops."""
    from lmim_kedro.reporting import shown_readings as library

    return library.choose_readings(predictions, crops, evaluation.metric)


def render_page(
    scores: Json,
    recipe: Json,
    facts: Json,
    figures: Figures,
    readings: Readings,
    confusions: DataFrame,
    sheet: ndarray,
    attention: Arrays,
    reconstructions: Arrays,
    cls_statistics: Json,
    data_card: DataFrame,
    **tables: DataFrame,
) -> str:
    """The page.

    Args:
        tables: metrics of the stages teacher, pretraining, finetuning; ingest summaries pretraining_summary, ...

    Errors: InputError if the scores or the facts are those of another recognizer than the recipe's.
    """
    from lmim_kedro.reporting import sections

    require_pair(recipe, scores.get("sha256"), "scores.json", "kedro run --pipelines=report")
    require_pair(recipe, facts.get("sha256"), "run_facts.json", EVALUATE)
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
        data_card=data_card,
    )
    return sections.render_page(report)
