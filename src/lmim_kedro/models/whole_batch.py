"""Losses that compare the crops of a batch with one another see the whole batch, however many processes share it."""

import torch
import torch.distributed as dist
from torch import Tensor


def whole_batch(features: Tensor) -> Tensor:
    """(B, ...) of this process -> (processes * B, ...) of all, in the order of their ranks.

    Gradients flow to the features of this process, times the number of processes: each process has the loss of the
    whole batch and its gradient for its own crops, and the mean that DistributedDataParallel takes is to be their sum.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return features
    return _gathered(features)


@torch.compiler.disable
def _gathered(features: Tensor) -> Tensor:
    world = dist.get_world_size()
    gathered = [torch.empty_like(features) for _ in range(world)]
    dist.all_gather(gathered, features.detach().contiguous())
    gathered[dist.get_rank()] = features + (world - 1) * (features - features.detach())
    return torch.cat(gathered)


def cls_deviation(features: Tensor) -> Tensor:
    """Deviation of the [cls] features (B, D) over the whole batch, mean over dimensions: a scalar without gradient.

    Example:
        >>> cls_deviation(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
        tensor(0.5000)
    """
    return whole_batch(features.detach()).float().std(0, correction=0).mean()
