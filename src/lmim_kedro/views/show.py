"""Contact sheets of guidance views and augmented crops, and statistics of the views, on a sample of a store."""

import numpy as np
import pandas as pd
import torch

from lmim_kedro.crops.pixels import decode_batch
from lmim_kedro.crops.randomness import derive_seed
from lmim_kedro.crops.sheets import contact_sheet
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.errors import InputError
from lmim_kedro.params import FinetuningParams, ModelParams, ViewPreset, ViewsParams
from lmim_kedro.views.augmentations import finetuning_augmentation
from lmim_kedro.views.guidance import GuidanceViews, to_unit
from lmim_kedro.views.statistics import describe

_SAMPLE = 256
"""Number of crops for statistics."""


def show_views(
    crops: PackedStore, preset: ViewPreset, shown: ViewsParams, height: int, width: int, seed: int
) -> tuple[np.ndarray, pd.DataFrame]:
    """Draw views of crops that are evenly spaced over the store.

    Args:
        crops: the store.
        preset: preset of the guidance views.
        shown: how many crops and views the sheet has.
        height: height of crops and views, pixels.
        width: width of crops and views, pixels.
        seed: seed of the draws.

    Returns:
        the sheet (H', W', 3) uint8, in the crops' native aspect ratio, and the table of `describe`.

    Raises:
        InputError: if the store is empty.
    """
    if not len(crops):
        raise InputError(f"{crops!r} holds no crop to draw views of: run `kedro run --pipelines=ingest` first")
    draw = GuidanceViews(preset)
    index, images, aspect = _spaced(crops, shown.sheet_crops, height, width)
    given = torch.from_numpy(images), torch.from_numpy(aspect)
    views = [draw(*given, seed=seed, epoch=epoch, index=index) for epoch in range(shown.sheet_views)]
    sheet = contact_sheet(images, torch.stack(views, 1).numpy(), aspect)
    index, images, aspect = _spaced(crops, _SAMPLE, height, width)
    return sheet, describe(preset, torch.from_numpy(images), torch.from_numpy(aspect), seed=seed, index=index)


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

    Returns:
        the sheet (H', W', 3) uint8, in the crops' native aspect ratio.
    """
    height, width = model.image_height, model.image_width
    if not len(crops):
        empty = np.empty((0, 3, height, width), np.uint8)
        return contact_sheet(empty, np.empty((0, shown.sheet_views, 3, height, width), np.float32))
    augment = finetuning_augmentation(finetuning, model)
    index, images, aspect = _spaced(crops, shown.sheet_crops, height, width)
    given, aspects = torch.from_numpy(images), torch.from_numpy(aspect)
    its_seed = derive_seed(seed, "fine-tuning")  # the seed of training.jobs
    views = [
        to_unit(given) if augment is None else augment(given, aspects, seed=its_seed, epoch=epoch, index=index)
        for epoch in range(shown.sheet_views)
    ]
    return contact_sheet(images, torch.stack(views, 1).numpy(), aspect)


def _spaced(crops: PackedStore, count: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices (n,), pixels (n, 3, H, W) uint8 and aspect ratios (n,) of at most `count` crops, evenly spaced."""
    count = min(count, len(crops))
    index = np.arange(count, dtype=np.int64) * len(crops) // count
    return index, *decode_batch(crops.fetch(index), height, width)
