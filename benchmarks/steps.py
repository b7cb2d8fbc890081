"""Training steps of every model preset: pre-training with LMIM, and fine-tuning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from benchmarks import data
from benchmarks.measure import Measurement, anonymous_memory, compare
from lmim_kedro.crops.loader import CropBatch, CropLoader
from lmim_kedro.models.encoder import Block, Encoder, gather_tokens
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.masking import split
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.params import ModelParams, OptimizationParams, PretrainingParams
from lmim_kedro.text.charset import Charset
from lmim_kedro.training.device import attention_kernel, pick_device
from lmim_kedro.training.optimizer import build_optimizer
from lmim_kedro.training.tasks import FinetuningTask, PretrainingTask
from lmim_kedro.views.guidance import GuidanceViews

OPTIMIZATION = OptimizationParams(
    steps=100,
    batch_size=256,
    base_learning_rate=1.5e-4,
    warmup_steps=10,
    betas=(0.9, 0.95),
    weight_decay=0.05,
    layer_decay=1.0,
)
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
MAIN = "vit_small"
"""The preset whose measurements carry no model name."""


def measurements(models: Mapping[str, ModelParams], batch: int | None = None) -> dict[str, Callable[[], Measurement]]:
    """A step of pre-training and of fine-tuning for each preset and precision.

    Args:
        models: presets by name.
        batch: crops a step; None: 512 on a GPU, 16 (vit_small) or 64 on a CPU.
    """
    found: dict[str, Callable[[], Measurement]] = {}
    for model, size in models.items():
        for precision in PRECISIONS:
            ending = precision if model == MAIN else f"{precision}_{model}"
            crops = batch or (512 if torch.cuda.is_available() else 16 if model == MAIN else 64)
            for kind, make in (("pretrain", _pretraining), ("finetune", _finetuning)):
                name = f"{kind}_step_{ending}"
                found[name] = partial(_measure, name, make, size, PRECISIONS[precision], crops)
    return found


class PlainAttention(nn.Module):
    """timm's attention with its matrix of weights written out."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.qkv, self.proj, self.heads = attention.qkv, attention.proj, attention.num_heads

    def forward(self, tokens: Tensor, **_: object) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        batch, count, width = tokens.shape
        queries, keys, values = self.qkv(tokens).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (queries @ keys.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(-1)
        return self.proj((weights @ values).transpose(1, 2).reshape(batch, count, width))


class PlainLMIM(LMIM):
    """LMIM as one would write it down first: tokens back in reading order, everything computed everywhere."""

    def forward(self, images: Tensor, guidance: Tensor | None, priority: Tensor) -> dict[str, Tensor]:
        """As LMIM.forward."""
        parts = split(priority, self.pretraining.mask_ratio)
        latent, guide = self.encoder(images, parts.kept, parts.removed), self.encoder(guidance)
        predicted = gather_tokens(self.decode(latent, guide, parts, everywhere=True), parts.removed)
        target = gather_tokens(self.target(images), parts.removed)
        reconstruction = (predicted - target).square().mean()
        return {"loss": reconstruction + nn.functional.mse_loss(latent[:, 0], guide[:, 0])}


def _pretraining(size: ModelParams) -> tuple[PretrainingTask, PretrainingTask]:
    pretraining = PretrainingParams.model_validate(
        {"teacher": {"optimization": OPTIMIZATION}, "optimization": OPTIMIZATION}
    )
    torch.manual_seed(0)
    ours, plain = (kind(size, pretraining, Encoder(size)) for kind in (LMIM, PlainLMIM))
    views = GuidanceViews(data.MEDIUM)
    return PretrainingTask("ours", ours, views, 0), PretrainingTask("plain", plain, views, 0)


def _finetuning(size: ModelParams) -> tuple[FinetuningTask, FinetuningTask]:
    torch.manual_seed(0)
    ours = Recognizer(size, Charset.named("english_94"))
    return FinetuningTask(ours, None, 0), FinetuningTask(copy.deepcopy(ours), None, 0)


def _measure(
    name: str,
    make: Callable[[ModelParams], tuple[PretrainingTask, PretrainingTask] | tuple[FinetuningTask, FinetuningTask]],
    size: ModelParams,
    precision: torch.dtype,
    crops: int,
) -> Measurement:
    """Crops a second in `precision`, beside fp32 with attention written out and nothing left out; memory of ours."""
    device = pick_device("auto")
    loader = CropLoader(data.store(), height=32, width=128, batch_size=crops, seed=0, with_labels=True)
    batch = next(loader.epoch(0))
    ours, plain = make(size)
    write_attention_out(plain.module)
    work, naive = _step(ours, batch, device, precision), _step(plain, batch, device, torch.float32)
    before = anonymous_memory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with attention_kernel(device, precision):
        work()
    memory = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else anonymous_memory() - before

    def step() -> None:
        with attention_kernel(device, precision):
            work()

    slow = device.type == "cpu" and size.tokens > 100
    found = compare(name, step, naive, crops, turns=2 if slow else 5)
    return {**found, "memory_mib": memory, "batch": crops, "device": str(device)}


def _step(
    task: PretrainingTask | FinetuningTask, batch: CropBatch, device: torch.device, precision: torch.dtype
) -> Callable[[], None]:
    module = task.module.to(device).train()
    optimizer = build_optimizer(module, OPTIMIZATION)

    def step() -> None:
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            losses = task.loss(batch, 0, cast(Callable[..., dict[str, Tensor]], module))
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        optimizer.step()

    return step


def write_attention_out(module: nn.Module) -> None:
    """Let the encoder's blocks compute attention in plain steps."""
    for block in [part for part in module.modules() if isinstance(part, Block)]:
        block.attn = cast(Any, PlainAttention(block.attn))
