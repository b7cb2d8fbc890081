"""Nodes of the evaluate stage."""

from typing import Any

from lmim_kedro.params import EvaluationParams, TrainingParams


def read_benchmarks(recognizer: Any, crops: Any, evaluation: EvaluationParams, training: TrainingParams) -> Any:
    """What the recognizer reads in every crop of every benchmark."""
    from lmim_kedro.reading.reader import read_store
    from lmim_kedro.training.device import pick_device, use_threads

    use_threads(training.threads)
    return read_store(recognizer, crops, evaluation.batch_size, pick_device(training.device))


def judge(readings: Any, manifest: Any, evaluation: EvaluationParams) -> Any:
    """Readings with their verdicts by each metric, and with what the manifest knows of the crop."""
    from lmim_kedro.scoring.metrics import judge_readings

    return judge_readings(readings, manifest, evaluation.metric)


def look(encoder: Any, crops: Any, evaluation: EvaluationParams, training: TrainingParams) -> Any:
    """Attention of the pre-trained encoder's last block on a few benchmark crops (paper, Figure 3)."""
    import numpy as np

    from lmim_kedro.evaluation.attention import attention_maps
    from lmim_kedro.training.device import pick_device

    chosen = np.linspace(0, len(crops) - 1, min(evaluation.attention_crops, len(crops))).astype(int)
    return attention_maps(encoder, crops, chosen, evaluation.attention_queries, pick_device(training.device))


def note_facts(recognizer: Any, training: TrainingParams) -> dict[str, Any]:
    """Where the numbers come from: versions, machine, model size, commit."""
    from lmim_kedro.reporting.facts import run_facts

    return run_facts(recognizer, training.device)


def look_at_cls(
    encoder: Any, lmim: Any, crops: Any, evaluation: EvaluationParams, training: TrainingParams
) -> tuple[dict[str, Any], Any]:
    """How far [cls] spreads over benchmark crops, and which crops it takes for alike; the teacher's beside it."""
    from lmim_kedro.evaluation import cls
    from lmim_kedro.training.device import pick_device

    encoders = {"encoder": encoder, "teacher": getattr(lmim, "teacher", None)}
    return cls.look_at_cls(encoders, crops, batch_size=evaluation.batch_size, device=pick_device(training.device))


def reconstruct(lmim: Any, crops: Any, evaluation: EvaluationParams, training: TrainingParams) -> Any:
    """What the decoder predicts for a few masked benchmark crops; nothing for a method without reconstruction."""
    from lmim_kedro.evaluation import reconstruction
    from lmim_kedro.evaluation.cls import spaced
    from lmim_kedro.models.lmim import LMIM
    from lmim_kedro.training.device import pick_device

    if not isinstance(lmim, LMIM) or lmim.pretraining.method == "none":
        return {}
    chosen = spaced(len(crops), evaluation.attention_crops)
    return reconstruction.reconstruct(lmim, crops, chosen, pick_device(training.device))
