"""`python -m benchmarks.count`: launches and bytes of a step on a GPU that is not there."""

import json
from pathlib import Path

import pytest
import torch
from benchmarks.count import Count, OnGpu, autocast_of_cuda, without_values
from torch import nn

from benchmarks import count as counting

SMALL = {"width": 16, "depth": 2, "heads": 2, "decoder_width": 16, "decoder_heads": 2, "decoder_ffn": 16}


class Step(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(16, 32), nn.LayerNorm(32)

    def forward(self, tokens):
        return self.norm(self.linear(tokens))


def counted(precision: torch.dtype) -> Count:
    module, count = Step(), Count()
    without_values(module)
    tokens = OnGpu.of(torch.empty(8, 16, device="meta"))
    with autocast_of_cuda(), count, torch.autocast("meta", dtype=precision, enabled=precision != torch.float32):
        module(tokens)
    return count


PRODUCT = 8 * 16 + 16 * 32 + 32 + 8 * 32  # numbers of: tokens, weight, bias, result
NORM = 2 * 8 * 32 + 2 * 32 + 2 * 8  # tokens in and out, weight and bias, mean and deviation


def test_a_step_in_float32_moves_what_it_reads_and_writes():
    count = counted(torch.float32)
    assert count.bytes == {("forward", "views"): 0, ("forward", "matrix products"): 4 * PRODUCT} | {
        ("forward", "norms"): 4 * NORM
    }
    assert count.launches["forward", "matrix products"] == count.launches["forward", "norms"] == 1


def test_autocast_casts_what_goes_into_a_product_and_takes_its_result_back_to_float32_for_a_norm():
    count = counted(torch.bfloat16)
    assert count.bytes["forward", "matrix products"] == 2 * PRODUCT
    assert count.bytes["forward", "norms"] == 4 * NORM
    assert count.launches["forward", "casts"] == 4  # tokens, weight, bias; the result
    assert count.bytes["forward", "casts"] == 6 * PRODUCT


def test_a_weight_is_cast_once_a_step():
    module, count = Step(), Count()
    without_values(module)
    tokens = OnGpu.of(torch.empty(8, 16, device="meta"))
    with autocast_of_cuda(), count, torch.autocast("meta", dtype=torch.bfloat16):
        module.linear(tokens), module.linear(tokens)
    assert count.launches["forward", "casts"] == 4  # tokens twice


def test_an_operation_with_an_unknown_rule_is_refused(monkeypatch):
    monkeypatch.setattr(counting, "FLOAT32", counting.FLOAT32 - {"layer_norm"})
    with pytest.raises(NotImplementedError, match="autocast has a rule for layer_norm"):
        counted(torch.bfloat16)


def test_whole_steps_are_counted_and_written(tmp_path: Path, monkeypatch, capsys):
    own = counting.ModelParams
    monkeypatch.setattr(counting, "ModelParams", lambda: own.model_validate(SMALL))
    assert counting.main(["--batch", "4", "--json", str(tmp_path / "count.json")]) == 0
    rows = json.loads((tmp_path / "count.json").read_text())
    sums = {}
    for row in rows:
        key = row["task"], row["precision"], row["kind"]
        sums[key] = sums.get(key, 0) + row["bytes"]
    for task in ("pre-training", "fine-tuning"):
        assert sums[task, "bf16", "matrix products"] * 2 == sums[task, "fp32", "matrix products"]
        assert sums[task, "bf16", "attention"] < sums[task, "fp32", "attention"]
        assert sums[task, "bf16", "casts"] > 2 * sums[task, "fp32", "casts"]
    # Tokens enter and leave a LayerNorm in bfloat16; only their statistics are float32.
    assert sums["pre-training", "bf16", "norms"] < 0.65 * sums["pre-training", "fp32", "norms"]
    assert {row["part"] for row in rows} == {"forward", "views", "augmentation", "backward", "optimizer"}
    printed = capsys.readouterr().out
    assert "**Pre-training**, ViT-S, a step of 4 crops:" in printed and "| views (no launch) |" in printed
