"""Turns a batch of crops into losses: the tasks of the loop, for pre-training and fine-tuning."""

from collections.abc import Callable
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
    aspect = batch.aspect.to(images.device, non_blocking=True)
    with torch.autocast(images.device.type, enabled=False):
        return draw(images, aspect, seed=seed, epoch=epoch, index=batch.index.numpy())


class PretrainingTask:
    """Trains LMIM, or a masked autoencoder, on crops and their guidance views.

    Args:
        name: name of the progress bar, the log and the random stream.
        lmim: the model.
        views: draws the guidance view of each crop on the device; None without guidance branch.
        seed: seed of views and masks.
    """

    def __init__(self, name: str, lmim: LMIM, views: Augmentation | None, seed: int) -> None:
        self.name, self.module, self.views, self.seed = name, lmim, views, seed

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


class SeqCLRTask:
    """Trains SeqCLR on two views of each crop, drawn on the device.

    Args:
        name: name of the progress bar, the log and the random stream.
        seqclr: the model.
        views: draws a view of each crop.
        seed: seed of the views.
    """

    def __init__(self, name: str, seqclr: SeqCLR, views: Augmentation, seed: int) -> None:
        self.name, self.module, self.views = name, seqclr, views
        self.seeds = [derive_seed(seed, f"view {number}", 0) for number in range(2)]

    def loss(self, batch: CropBatch, epoch: int, forward: Forward) -> dict[str, Tensor]:
        """The losses of SeqCLR.forward for uint8 crops (B, 3, H, W); calls `forward` instead of `module`."""
        images = batch.images.to(self.module.encoder.cls_token.device, non_blocking=True)
        return forward(*(to_input(_draw(self.views, images, batch, seed, epoch)) for seed in self.seeds))


class FinetuningTask:
    """Trains the recognizer on labeled crops.

    Args:
        recognizer: the model.
        augmentation: augments each crop on the device; None for none.
        seed: seed of the augmentation.
    """

    name = "fine-tuning"

    def __init__(self, recognizer: Recognizer, augmentation: Augmentation | None, seed: int) -> None:
        self.module, self.augmentation, self.seed = recognizer, augmentation, seed

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
