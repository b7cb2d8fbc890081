"""The augmentations of fine-tuning, by the name that `finetuning.augmentation` gives them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lmim_kedro.params import FinetuningParams, ModelParams
from lmim_kedro.registries import AUGMENTATIONS

Augmentation = Callable[..., Tensor]


def finetuning_augmentation(finetuning: FinetuningParams, model: ModelParams) -> Augmentation | None:
    """What is done to each crop that the recognizer learns from; called as GuidanceViews is. None: nothing."""
    return AUGMENTATIONS[finetuning.augmentation](model.image_height, model.image_width)


def no_augmentation(height: int, width: int) -> None:
    """Crops as they are."""
