"""What an exported recognizer loses against the one it was made from, on labeled crops."""

from __future__ import annotations

import numpy as np

from lmim_kedro.crops.pixels import UndecodableCrop, decode_batch
from lmim_kedro.crops.sources.open import Source, open_source
from lmim_kedro.errors import InputError
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.reading.onnx_reader import OnnxReader
from lmim_kedro.reading.reader import Reader
from lmim_kedro.scoring.compare import compare

BATCH = 64


def measure_cost(recognizer: Recognizer, exported: OnnxReader, path: str, metric: str = "waics") -> str:
    """Read labeled crops with both and compare: A is torch, B the export.

    Args:
        recognizer: as the graphs were made from.
        exported: the graphs.
        path: an LMDB, or a folder with a list of labels: what ingest reads.
        metric: of right and wrong.

    Errors: InputError for crops without labels.
    """
    source = open_source("crops", {"path": path})
    if not source.labeled:
        raise InputError(f"{source.description}: labels are needed to say what reading wrongly costs")
    reader = Reader(recognizer)
    labels: list[str] = []
    ours: list[str] = []
    theirs: list[str] = []
    largest, left_out = 0.0, 0
    for start in range(0, len(source), BATCH):
        images, some, unreadable = _batch(source, start, exported.height, exported.width)
        left_out += unreadable
        if not some:
            continue
        before, after = reader.read_batch(images), exported.read_batch(images)
        labels += some
        ours += [reading.text for reading in before]
        theirs += [reading.text for reading in after]
        largest = max(largest, *(abs(a.confidence - b.confidence) for a, b in zip(before, after, strict=True)))
    if not labels:
        raise InputError(f"{source.description}: none of its crops can be read; give others")
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    table = compare(labels, ours, theirs, metric).table(metric)
    without = f"; {left_out:,} crops without an image or a label that can be read are left out" if left_out else ""
    return (
        f"A: torch\nB: ONNX, {exported.config['weights']} weights\n{table}\n"
        f"same text for {same:,} of {len(labels):,} crops; confidences differ by at most {largest:.2g}{without}"
    )


def _batch(source: Source, start: int, height: int, width: int) -> tuple[np.ndarray, list[str], int]:
    """Pixels (B, 3, height, width) and labels from `start` on, and how many crops had none."""
    images, labels, unreadable = [], [], 0
    for crop in source.read(start, min(start + BATCH, len(source))):
        if crop.data is None or crop.label is None:
            unreadable += 1
            continue
        try:
            images.append(decode_batch([crop.data], height, width)[0])
        except UndecodableCrop:
            unreadable += 1
            continue
        labels.append(crop.label)
    return np.concatenate(images) if images else np.empty((0, 3, height, width), np.uint8), labels, unreadable
