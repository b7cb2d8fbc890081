"""Measures what a pre-training step costs the host, without a GPU: Python and torch's dispatch, by processor time.

    python -m benchmarks.host
    python -m benchmarks.host --compiled

The step has as many operations as one of ViT-S, but next to nothing to compute: the views are those of 64 crops of
8 x 16 pixels, and LMIM, as deep as ViT-S and 48 numbers wide, gets two of them, of two patches each. A GPU's driver
adds 2 to 3 us a launch.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import data
from benchmarks.steps import OPTIMIZATION
from lmim_kedro.crops.loader import CropBatch
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.params import ModelParams, PretrainingParams
from lmim_kedro.training.optimizer import build_optimizer
from lmim_kedro.training.tasks import PretrainingTask
from lmim_kedro.views.guidance import GuidanceViews

NARROW = ModelParams(
    image_height=8,
    image_width=16,
    patch_height=8,
    patch_width=8,
    position_grid="layout",
    width=48,
    heads=6,
    mlp_ratio=1,
    decoder_width=24,
    decoder_heads=6,
    decoder_ffn=24,
)

TRAINED = 2  # crops that the model gets: its number of operations does not depend on them


class Step:
    """A step of pre-training, each part of which can be called alone."""

    def __init__(self, crops: int, compiled: bool) -> None:
        torch.manual_seed(0)
        params = PretrainingParams.model_validate(
            {"teacher": {"optimization": OPTIMIZATION}, "optimization": OPTIMIZATION, "mask_ratio": 0.5}
        )
        self.module = LMIM(NARROW, params, Encoder(NARROW)).train()
        self.views = GuidanceViews(data.MEDIUM, compiled=compiled)
        self.forward: Any = torch.compile(self.module) if compiled else self.module
        self.optimizer = build_optimizer(self.module, OPTIMIZATION)
        images = torch.randint(256, (crops, 3, NARROW.image_height, NARROW.image_width), dtype=torch.uint8)
        self.batch = CropBatch(images, torch.ones(crops), torch.arange(crops))
        self.epochs = itertools.count()
        drawn = self.draw_views()[:TRAINED]
        self.few = CropBatch(images[:TRAINED], torch.ones(TRAINED), torch.arange(TRAINED))
        self.task = PretrainingTask("pre-training", self.module, lambda *_, **__: drawn, 0)
        self.losses = self.run_forward()

    def draw_numbers(self) -> Any:
        """Draw what is done to each crop."""
        return self.views.policy.draw(seed=0, epoch=next(self.epochs), index=self.batch.index.numpy())

    def draw_views(self) -> Any:
        """Draw the guidance views, numbers included."""
        given = {"seed": 0, "epoch": next(self.epochs), "index": self.batch.index.numpy()}
        return self.views(self.batch.images, self.batch.aspect, **given)

    def run_forward(self) -> Any:
        """Draw the masks and compute the losses, given the views."""
        self.losses = self.task.loss(self.few, next(self.epochs), self.forward)
        return self.losses

    def run_backward(self) -> None:
        """Compute the gradients of the last losses, and those losses again, as they are gone."""
        self.optimizer.zero_grad(set_to_none=True)
        self.run_forward()["loss"].backward()

    def take(self) -> None:
        """Change the weights."""
        self.optimizer.step()


def processor_ms(work: Callable[[], object], rounds: int = 9, calls: int = 5) -> float:
    """Milliseconds of processor time of a call: the least of some rounds."""
    work()
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(calls):
            work()
        spent.append((time.process_time() - start) / calls * 1e3)
    return min(spent)


def main(arguments: list[str] | None = None) -> int:
    """Measure each part and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.host", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=64, help="crops of which views are drawn (default: %(default)s)")
    parser.add_argument("--compiled", action="store_true", help="compile views and model; this needs a C++ compiler")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    step = Step(options.batch, options.compiled)
    numbers, views, forward, both = (
        processor_ms(work) for work in (step.draw_numbers, step.draw_views, step.run_forward, step.run_backward)
    )
    parts = {
        "numbers of the views": numbers,
        "views": views - numbers,
        "masks and forward pass": forward,
        "backward pass": both - forward,
        "AdamW": processor_ms(step.take),
    }
    print("| part | ms |\n| --- | ---: |")
    for part, spent in {**parts, "**sum**": float(np.sum(list(parts.values())))}.items():
        print(f"| {part} | {spent:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
