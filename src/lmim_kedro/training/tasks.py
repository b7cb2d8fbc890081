"""Turns a batch of crops into losses: the tasks of the loop, for pre-training and fine-tuning."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmim_kedro.crops.loader import CropBatch, send
from lmim_kedro.crops.pixels import to_input
from lmim_kedro.crops.randomness import derive_seed
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.masking import draw_priority
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.seqclr import SeqCLR

Augmentation = Callable[..., Tensor]
Forward = Callable[..., Any]


def _draw(draw: Augmentation, images: Tensor, batch: CropBatch, seed: int, epoch: int) -> Tensor:
    """Views (B, 3, H, W) of images (B, 3, H, W) on the device, in float32 also where training is not."""
    with torch.autocast(images.device.type, enabled=False):
        return draw(images, batch.aspect, seed=seed, epoch=epoch, index=batch.index.numpy())


@dataclass
class PretrainingTask:
    """Trains LMIM, or a masked autoencoder, on crops and their guidance views.

    Args:
        name: name of the progress bar, the log and the random stream.
        module: the model.
        views: draws the guidance view of each crop on the device; None without guidance branch.
        seed: seed of views and masks.
    """

    name: str
    module: LMIM
    views: Augmentation | None
    seed: int

    def loss(self, batch: CropBatch, epoch: int, forward: Forward) -> dict[str, Tensor]:
        """The losses of LMIM.forward for uint8 crops (B, 3, H, W); calls `forward` instead of `module`."""
        device, model = self.module.mask_token.device, self.module.model
        images = batch.images.to(device, non_blocking=True)
        guidance = None
        if batch.views is not None:
            guidance = to_input(batch.views.to(device, non_blocking=True))
        elif self.views is not None:
            guidance = to_input(_draw(self.views, images, batch, self.seed, epoch))
        draws: dict[str, Any] = {"seed": self.seed, "epoch": epoch, "index": batch.index.numpy(), "images": images}
        priority = draw_priority(self.module.pretraining.masking, model.rows, model.columns, **draws)
        return forward(to_input(images), guidance, send(priority, device))


@dataclass
class SeqCLRTask:
    """Trains SeqCLR on two views of each crop, drawn on the device; arguments as of `PretrainingTask`."""

    name: str
    module: SeqCLR
    views: Augmentation
    seed: int

    def loss(self, batch: CropBatch, epoch: int, forward: Forward) -> dict[str, Tensor]:
        """The losses of SeqCLR.forward for uint8 crops (B, 3, H, W); calls `forward` instead of `module`."""
        images = batch.images.to(self.module.encoder.cls_token.device, non_blocking=True)
        seeds = [derive_seed(self.seed, f"view {number}", 0) for number in range(2)]
        return forward(*(to_input(_draw(self.views, images, batch, seed, epoch)) for seed in seeds))


@dataclass
class FinetuningTask:
    """Trains the recognizer on labeled crops.

    Args:
        module: the model.
        augmentation: augments each crop on the device; None for none.
        seed: seed of the augmentation.
    """

    module: Recognizer
    augmentation: Augmentation | None
    seed: int
    name: str = "fine-tuning"

    def loss(self, batch: CropBatch, epoch: int, forward: Forward) -> dict[str, Tensor]:
        """The loss of the head for labeled uint8 crops (B, 3, H, W); calls `forward` instead of `module`."""
        images = batch.images.to(self.module.encoder.cls_token.device, non_blocking=True)
        if self.augmentation is not None:
            images = _draw(self.augmentation, images, batch, self.seed, epoch)
        assert batch.labels is not None, "fine-tuning needs a loader with labels"
        # Spelled here: a forward that is given strings would be compiled anew for every batch.
        head = self.module.head
        symbols, lengths = head.targets(batch.labels, images.device)
        return {"loss": head.loss(forward(to_input(images), symbols), symbols, lengths)}
