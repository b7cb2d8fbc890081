from __future__ import annotations

from functools import partial

import pytest
from benchmarks.measure import compare

from benchmarks import onnx
from lmim_kedro.params import ModelParams, RecognizerParams

pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")
pytest.importorskip("onnxscript", reason="needs the extra `onnx`")

SMALL = ModelParams(
    width=24, depth=1, heads=3, recognizer=RecognizerParams(width=32, depth=1, heads=4, ffn=16, dropout=0.0)
)


def test_entry_gives_crops_a_second_of_the_export_and_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "compare", partial(compare, seconds=0.01))
    entry = onnx.measure("small", 2, model=SMALL)
    assert entry["name"] == "small" and entry["unit"] == "crops/s"
    assert entry["value"] > 0 and entry["ratio"] == pytest.approx(entry["value"] / entry["reference"])


def test_every_entry_has_its_name() -> None:
    assert all(function.__name__ == name for name, function in onnx.measurements().items())
