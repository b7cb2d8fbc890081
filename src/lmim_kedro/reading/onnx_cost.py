"""What an exported recognizer loses against the one it was made from, on labeled crops."""

from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.sources.stream import crops_of_source
from lmim_kedro.errors import InputError
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.reading.onnx_reader import OnnxReader
from lmim_kedro.reading.reader import Reader
from lmim_kedro.scoring.compare import compare

BATCH = 64


def measure_cost(recognizer: Recognizer, exported: OnnxReader, path: str, metric: str = "waics") -> str:
    """Read labeled crops with both and compare: A is torch, B the export.

    Args:
        recognizer: the recognizer that the graphs were made from.
        exported: the graphs.
        path: path of labeled crops: an LMDB, or a folder with a list of labels.
        metric: metric that says what is right.

    Errors: InputError for crops without labels.
    """
    source = open_source("crops", {"path": path})
    if not source.labeled:
        raise InputError(f"{source.description}: labels are needed to say what reading wrongly costs")
    labels, ours, theirs, largest = [], [], [], 0.0
    readings = (each.read_named(crops_of_source(source), BATCH) for each in (Reader(recognizer), exported))
    for crop, before, after in zip(source.read(0, len(source)), *readings, strict=True):
        if crop.label is None or before.error or after.error:
            continue
        labels.append(crop.label)
        ours.append(before.text)
        theirs.append(after.text)
        largest = max(largest, abs(before.confidence - after.confidence))
    left_out = len(source) - len(labels)
    if not labels:
        raise InputError(f"{source.description}: none of its crops can be read; give others")
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    table = compare(labels, ours, theirs, metric).table(metric)
    without = f"; {left_out:,} crops without an image or a label that can be read are left out" if left_out else ""
    return (
        f"A: torch\nB: ONNX, {exported.config['weights']} weights\n{table}\n"
        f"same text for {same:,} of {len(labels):,} crops; confidences differ by at most {largest:.2g}{without}"
    )
