"""Nodes of the evaluate stage."""

from lmim_kedro.params import EvaluationParams, TrainingParams
from lmim_kedro.pipelines.node_types import Arrays, DataFrame, Encoder, Json, Module, PackedStore, Recognizer


def read_benchmarks(
    recognizer: Recognizer, crops: PackedStore, evaluation: EvaluationParams, training: TrainingParams
) -> DataFrame:
    """What the recognizer, and another beside it in the same way, reads in every crop of every benchmark."""
    from lmim_kedro.models.folder import named_place
    from lmim_kedro.models.weights import load_recognizer, origin_of
    from lmim_kedro.reading.reader import read_store
    from lmim_kedro.training.device import pick_device, use_threads

    use_threads(training.threads)
    how = evaluation.batch_size, pick_device(training.device)
    readings = read_store(recognizer, crops, *how, evaluation.looks, evaluation.language)
    readings.attrs["sha256"] = origin_of(recognizer).sha256
    if evaluation.beside is not None:
        other = load_recognizer(named_place(evaluation.beside))
        readings["beside"] = read_store(other, crops, *how, evaluation.looks, evaluation.language)["prediction"]
    return readings


def judge(readings: DataFrame, manifest: DataFrame, evaluation: EvaluationParams) -> DataFrame:
    """Readings with their verdicts by each metric, with what the manifest knows of the crop, and whose they are."""
    from lmim_kedro.scoring.metrics import judge_readings

    verdicts = judge_readings(readings, manifest, evaluation.metric)
    verdicts.attrs |= readings.attrs  # Parquet keeps them
    return verdicts


def look(encoder: Encoder, crops: PackedStore, evaluation: EvaluationParams, training: TrainingParams) -> Arrays:
    """Attention of the pre-trained encoder's last block on a few benchmark crops (paper, Figure 3)."""
    from lmim_kedro.evaluation.attention import attention_maps
    from lmim_kedro.evaluation.cls import spaced
    from lmim_kedro.training.device import pick_device

    chosen = spaced(len(crops), evaluation.attention_crops)
    return attention_maps(encoder, crops, chosen, evaluation.attention_queries, pick_device(training.device))


def note_facts(recognizer: Recognizer, training: TrainingParams) -> Json:
    """Where the numbers come from: versions, machine, model size, commit, checksum of the weights."""
    from lmim_kedro.models.weights import origin_of
    from lmim_kedro.reporting.facts import run_facts

    return run_facts(recognizer, training.device) | {"sha256": origin_of(recognizer).sha256}


def look_at_cls(
    encoder: Encoder, pretrained: Module, crops: PackedStore, evaluation: EvaluationParams, training: TrainingParams
) -> tuple[Json, Arrays]:
    """How far [cls] spreads over benchmark crops, and which crops it takes for alike; the teacher's beside it."""
    from lmim_kedro.evaluation import cls
    from lmim_kedro.training.device import pick_device

    encoders = {"encoder": encoder, "teacher": getattr(pretrained, "teacher", None)}
    return cls.look_at_cls(encoders, crops, batch_size=evaluation.batch_size, device=pick_device(training.device))


def reconstruct(
    pretrained: Module, crops: PackedStore, evaluation: EvaluationParams, training: TrainingParams
) -> Arrays:
    """What the decoder predicts for a few masked benchmark crops; nothing for a method without reconstruction."""
    from lmim_kedro.evaluation import reconstruction
    from lmim_kedro.evaluation.cls import spaced
    from lmim_kedro.models.lmim import LMIM
    from lmim_kedro.training.device import pick_device

    if not isinstance(pretrained, LMIM) or pretrained.pretraining.method == "none":
        return {}
    chosen = spaced(len(crops), evaluation.attention_crops)
    return reconstruction.reconstruct(pretrained, crops, chosen, pick_device(training.device))
