"""Nodes of the predict pipeline."""

import logging
from pathlib import Path

from lmim_kedro.crops.sources.source import Source
from lmim_kedro.params import IngestParams, PredictParams, TrainingParams
from lmim_kedro.pipelines.node_types import Recognizer

log = logging.getLogger(__name__)


def read_crops(
    recognizer: Recognizer,
    sources: list[Source],
    file: Path,
    predict: PredictParams,
    training: TrainingParams,
    ingest: IngestParams,
) -> Path:
    """Read every crop, and write each reading into `file` as it comes."""
    from lmim_kedro.reading.files import write_readings
    from lmim_kedro.reading.reader import read_sources
    from lmim_kedro.text.allowed import Allowed
    from lmim_kedro.training.device import pick_device, use_threads

    for source in sources:
        log.info("%s", source.description)
    limited = [source.limited(ingest.max_bytes) for source in sources]
    use_threads(training.threads)
    recognizer = recognizer.to(pick_device(training.device))
    how = predict.batch_size, predict.beam, training.loader_threads, ingest.max_pixels, predict.looks
    allowed = Allowed.of(predict.charset, predict.lexicon, predict.pattern)
    crops, failed = write_readings(
        read_sources(recognizer, limited, *how, allowed, predict.min_confidence, predict.language), file, predict.format
    )
    log.info("%s crops read%s", f"{crops:,}", f", {failed:,} of them with an error" if failed else "")
    return file
