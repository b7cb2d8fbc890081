"""Looks up the augmentation that `finetuning.augmentation` names."""

from collections.abc import Callable

from torch import Tensor

from lmim_kedro.params import FinetuningParams, ModelParams
from lmim_kedro.registries import AUGMENTATIONS

Augmentation = Callable[..., Tensor]


def finetuning_augmentation(finetuning: FinetuningParams, model: ModelParams) -> Augmentation | None:
    """The augmentation of fine-tuning, called as GuidanceViews is, or None if the crops stay as they are.

    Example:
        >>> finetuning_augmentation(FinetuningParams.model_construct(augmentation="none"), ModelParams()) is None
        True
    """
    return AUGMENTATIONS[finetuning.augmentation](model.image_height, model.image_width)


def no_augmentation(height: int, width: int) -> None:
    """Leave the crops as they are."""
