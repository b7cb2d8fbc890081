"""Applying operations in an order of its own for every crop of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from lmim_kedro.views.draws import to_device

Operation = tuple[Callable[..., Tensor], tuple[np.ndarray, ...]]  # a function of images and per-crop parameters (B,)


def apply_in_order(images: Tensor, operations: Sequence[Operation], rank: np.ndarray) -> Tensor:
    """Apply to each crop its operations, in ascending rank.

    Crops are grouped on the host by which operation is their next, so each group is one batched call and nothing waits
    for the device.

    Args:
        images: (B, 3, H, W); changed in place.
        operations: functions with their parameters.
        rank: (B, len(operations)); an operation of infinite rank is not applied.
    """
    turns = np.argsort(rank, axis=1, kind="stable")
    used = np.isfinite(np.take_along_axis(rank, turns, axis=1))
    for slot in range(len(operations)):
        for number, (function, parameters) in enumerate(operations):
            chosen = np.flatnonzero((turns[:, slot] == number) & used[:, slot])
            if len(chosen) == 0:
                continue
            values = [to_device(parameter[chosen], images) for parameter in parameters]
            if len(chosen) == len(images):
                images = function(images, *values)
            else:
                index = to_device(chosen, images)
                images.index_copy_(0, index, function(images.index_select(0, index), *values))
    return images
