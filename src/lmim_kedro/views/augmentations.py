"""The augmentations of fine-tuning, by the name that `finetuning.augmentation` gives them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lmim_kedro.params import FinetuningParams, ModelParams
from lmim_kedro.views.parseq import ParseqAugmentation
from lmim_kedro.views.reading import ReadingAugmentation

Augmentation = Callable[..., Tensor]


def reading_augmentation(finetuning: FinetuningParams, model: ModelParams) -> Augmentation | None:
    """What is done to each crop that the recogniser learns from; called as GuidanceViews is. None: nothing."""
    match finetuning.augmentation:
        case "abinet":
            return ReadingAugmentation(model.image_height, model.image_width)
        case "parseq":
            return ParseqAugmentation(model.image_height, model.image_width)
        case "none":
            return None
