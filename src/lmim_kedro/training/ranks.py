"""The processes that train together: one, or several that average their gradients."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def accepted(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Those of the options that the signature of a function has: older releases of torch lack some.

    Example:
        >>> accepted(sorted, reverse=True, stable=True)
        {'reverse': True}
    """
    known = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in known}


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        device: of this process.
        rank: its number, from 0; rank 0 writes files and draws the progress bar.
        world: how many there are.
    """

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module as it is, or with gradients averaged over all processes in every backward pass."""
        if self.world == 1:
            return module
        places = [self.device] if self.device.type == "cuda" else None
        options = accepted(DistributedDataParallel, forward_sync_buffers=False)
        return DistributedDataParallel(module, device_ids=places, **options)

    def mean(self, scalars: dict[str, Tensor]) -> dict[str, Tensor]:
        """Detached float32 means over all processes, left on the device: the host waits for nothing."""
        values = torch.stack([value.detach().float() for value in scalars.values()])
        if self.world > 1:
            dist.all_reduce(values)
            values = values / self.world
        return dict(zip(scalars, values.unbind(), strict=True))

    def wait(self) -> None:
        """Go on when every process has come here."""
        if self.world > 1:
            dist.barrier()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; each must ask at the same step."""
        if self.world == 1:
            return flag
        asked = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(asked, dist.ReduceOp.MAX)
        return bool(asked.item())


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """This process as torch's launcher started it (RANK, LOCAL_RANK, WORLD_SIZE): gloo on CPUs, NCCL on GPUs."""
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(minutes=10))
    try:
        yield Ranks(device, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
