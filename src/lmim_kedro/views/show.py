"""Contact sheets of guidance views and augmented crops, and statistics of the views, on a sample of a store."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lmim_kedro.crops.pixels import decode_batch, decode_stored, shown_aspect
from lmim_kedro.crops.randomness import derive_seed
from lmim_kedro.crops.sheets import contact_sheet
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.errors import InputError
from lmim_kedro.params import FinetuningParams, ModelParams, ViewPreset, ViewsParams
from lmim_kedro.views.augmentations import Augmentation, finetuning_augmentation
from lmim_kedro.views.guidance import GuidanceViews, to_unit
from lmim_kedro.views.statistics import describe

_SAMPLE = 256  # crops for statistics


def show_views(
    crops: PackedStore, preset: ViewPreset, shown: ViewsParams, model: ModelParams, seed: int
) -> tuple[np.ndarray, pd.DataFrame]:
    """Draw views of crops that are evenly spaced over the store.

    Args:
        crops: the store.
        preset: preset of the guidance views.
        shown: how many crops and views the sheet has.
        model: gives the size of crops and views.
        seed: seed of the draws.

    Returns:
        the sheet (H', W', 3) uint8, in the crops' native aspect ratio, and the table of `describe`.

    Raises:
        InputError: if the store is empty.
    """
    if not len(crops):
        raise InputError(f"{crops!r} holds no crop to draw views of: run `kedro run --pipelines=ingest` first")
    images, aspect, index = _spaced(crops, _SAMPLE, model)
    return (
        _sheet(GuidanceViews(preset), crops, shown, model, seed),
        describe(preset, images, aspect, seed=seed, index=index),
    )


def show_augmentation(
    crops: PackedStore, finetuning: FinetuningParams, model: ModelParams, shown: ViewsParams, seed: int
) -> np.ndarray:
    """Draw labeled crops as fine-tuning sees them in its first epochs.

    Args:
        crops: the store, from which crops are taken evenly; an empty one gives an empty sheet.
        finetuning: names the augmentation.
        model: gives the height and width of the crops.
        shown: how many crops the sheet has, and how many epochs.
        seed: seed of the run.

    Returns: the sheet (H', W', 3) uint8, in the crops' native aspect ratio.
    """
    augment = finetuning_augmentation(finetuning, model) if len(crops) else None
    its_seed = derive_seed(seed, "fine-tuning")  # the seed of training.jobs
    return _sheet(augment, crops, shown, model, its_seed)


def _sheet(
    draw: Augmentation | None, crops: PackedStore, shown: ViewsParams, model: ModelParams, seed: int
) -> np.ndarray:
    """Evenly spaced crops, each beside its views in the first epochs; without `draw`, beside itself."""
    images, aspect, index = _spaced(crops, shown.sheet_crops, model)
    views = [
        to_unit(images) if draw is None else draw(images, aspect, seed=seed, epoch=epoch, index=index)
        for epoch in range(shown.sheet_views)
    ]
    return contact_sheet(images.numpy(), torch.stack(views, 1).numpy(), aspect.numpy())


def _spaced(crops: PackedStore, count: int, model: ModelParams) -> tuple[Tensor, Tensor, np.ndarray]:
    """Pixels (n, 3, H, W) uint8, aspect ratios (n,) and indices (n,) of at most `count` crops, evenly spaced."""
    count = min(count, len(crops))
    index = np.arange(count) * len(crops) // max(count, 1)
    size = model.image_height, model.image_width
    images, aspect = (
        decode_stored(crops, index, *size, keep_ratio=model.keep_ratio) if count else decode_batch([], *size)
    )
    shown = shown_aspect(aspect, *size, model.keep_ratio)
    return torch.from_numpy(images), torch.from_numpy(shown), index
