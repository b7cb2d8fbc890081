"""Nodes of the predict pipeline."""

from typing import Any

from lmim_kedro.params import IngestParams, PredictParams, TrainingParams


def read_crops(
    recognizer: Any, sources: list[Any], predict: PredictParams, training: TrainingParams, ingest: IngestParams
) -> Any:
    """What the recognizer reads in every crop, as a stream: crops are read where the catalog saves it."""
    from lmim_kedro.reading.reader import read_sources
    from lmim_kedro.training.device import pick_device, use_threads

    use_threads(training.threads)
    recognizer = recognizer.to(pick_device(training.device))
    how = predict.batch_size, predict.beam, training.loader_threads, ingest.max_pixels
    return iter(read_sources(recognizer, sources, *how))
