"""How fast an exported recognizer reads under onnxruntime, beside the recognizer in torch; one core each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch

from benchmarks.decoding import WORD, decoder_of_words
from benchmarks.measure import Measurement, compare
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.params import ModelParams
from lmim_kedro.reading.export_onnx import export_recognizer
from lmim_kedro.reading.onnx_reader import OnnxReader
from lmim_kedro.reading.reader import Reader
from lmim_kedro.text.charset import Charset


def measurements() -> dict[str, Callable[[], Measurement]]:
    """The entries of this module by name."""
    return {"onnx_b1": onnx_b1, "onnx_b32": onnx_b32, "onnx_int8_b1": onnx_int8_b1, "onnx_int8_b32": onnx_int8_b32}


def onnx_b1() -> Measurement:
    """One crop at a time: encoder and 8 steps of the paper's recognizer, random weights."""
    return measure("onnx_b1", 1)


def onnx_b32() -> Measurement:
    """32 crops at a time, as above."""
    return measure("onnx_b32", 32)


def onnx_int8_b1() -> Measurement:
    """One crop at a time, linear maps in 8-bit integers."""
    return measure("onnx_int8_b1", 1, int8=True)


def onnx_int8_b32() -> Measurement:
    """32 crops at a time, linear maps in 8-bit integers."""
    return measure("onnx_int8_b32", 32, int8=True)


def measure(name: str, batch: int, int8: bool = False, model: ModelParams | None = None) -> Measurement:
    """Crops a second of the export and of eager torch, pixels given.

    Args:
        name: of the entry.
        batch: crops read at once; each word is of WORD characters.
        int8: whether the export is quantized.
        model: sizes; None: the paper's.
    """
    reader, exported = _both(model or ModelParams(), int8)
    size = reader.height, reader.width
    images = np.random.default_rng(0).integers(0, 256, (batch, 3, *size), np.uint8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return compare(
            name,
            lambda: exported.read_batch(images),
            lambda: reader.read_batch(images),
            batch,
            turns=3,
        )
    finally:
        torch.set_num_threads(threads)


@cache
def _both(model: ModelParams, int8: bool) -> tuple[Reader, OnnxReader]:
    charset = Charset.named("english_94")
    torch.manual_seed(0)
    recognizer = Recognizer(model, charset).eval()
    recognizer.head.decoder = recognizer.decoder = decoder_of_words(model, charset, WORD)
    with tempfile.TemporaryDirectory() as folder:
        export_recognizer(recognizer, Path(folder), "int8" if int8 else "float32")
        return Reader(recognizer), OnnxReader(folder, threads=1)
