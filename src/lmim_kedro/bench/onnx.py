"""How fast an exported recogniser reads under onnxruntime, beside the recogniser in torch; one core each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from lmim_kedro.bench.decoding import WORD, decoder_of_words
from lmim_kedro.models.charset import Charset
from lmim_kedro.models.export_onnx import export_recognizer
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.onnx_runner import OnnxRecognizer
from lmim_kedro.params import ModelParams

REPEATS, SECONDS = 3, 2.0  # at least, of each; the fastest counts: the others waited for something else on the machine


def measurements() -> dict[str, Callable[[], dict[str, Any]]]:
    """The entries of this module by name."""
    return {"onnx_b1": onnx_b1, "onnx_b32": onnx_b32, "onnx_int8_b1": onnx_int8_b1, "onnx_int8_b32": onnx_int8_b32}


def onnx_b1() -> dict[str, Any]:
    """One crop at a time: encoder and 8 steps of the paper's recogniser, random weights."""
    return measure("onnx_b1", 1)


def onnx_b32() -> dict[str, Any]:
    """32 crops at a time, as above."""
    return measure("onnx_b32", 32)


def onnx_int8_b1() -> dict[str, Any]:
    """One crop at a time, linear maps in 8-bit integers."""
    return measure("onnx_int8_b1", 1, int8=True)


def onnx_int8_b32() -> dict[str, Any]:
    """32 crops at a time, linear maps in 8-bit integers."""
    return measure("onnx_int8_b32", 32, int8=True)


def measure(name: str, batch: int, int8: bool = False, model: ModelParams | None = None) -> dict[str, Any]:
    """Crops a second of the export and of eager torch, pixels given, taking turns.

    Args:
        name: of the entry.
        batch: crops read at once; each word is of WORD characters.
        int8: whether the export is quantised.
        model: sizes; None: the paper's.
    """
    recognizer, exported = _both(model or ModelParams(), int8)
    size = recognizer.model.image_height, recognizer.model.image_width
    images = np.random.default_rng(0).integers(0, 256, (batch, 3, *size), np.uint8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours, theirs = _take_turns(
            lambda: exported.read(images),
            lambda: recognizer.read_batch(torch.from_numpy(images).float() / 127.5 - 1),
        )
    finally:
        torch.set_num_threads(threads)
    return {"name": name, "value": batch / ours, "unit": "crops/s", "reference": batch / theirs, "ratio": theirs / ours}


@cache
def _both(model: ModelParams, int8: bool) -> tuple[Recognizer, OnnxRecognizer]:
    charset = Charset.named("english_94")
    torch.manual_seed(0)
    recognizer = Recognizer(model, charset).eval()
    recognizer.decoder = decoder_of_words(model, charset, WORD)
    with tempfile.TemporaryDirectory() as folder:
        export_recognizer(recognizer, Path(folder), int8)
        return recognizer, OnnxRecognizer(folder, threads=1)


def _take_turns(*works: Callable[[], Any]) -> list[float]:
    """Seconds of the fastest run of each."""
    seconds: list[list[float]] = [[] for _ in works]
    while len(seconds[0]) < REPEATS or min(map(sum, seconds)) < SECONDS:
        for work, mine in zip(works, seconds, strict=True):
            start = perf_counter()
            work()
            mine.append(perf_counter() - start)
    return [min(mine) for mine in seconds]
