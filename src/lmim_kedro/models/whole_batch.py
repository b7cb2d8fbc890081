"""Losses that compare the crops of a batch with one another see the whole batch, however many processes share it."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def whole_batch(features: Tensor) -> Tensor:
    """(B, ...) of this process -> (processes * B, ...) of all, in the order of their ranks; gradients flow back.

    Each process then has the loss of the whole batch, and the mean of their gradients is that loss's gradient.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return features
    return torch.cat(all_gather(features.contiguous()))
