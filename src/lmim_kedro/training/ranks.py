"""The processes that train together, and average their gradients if there are several."""

import inspect
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
    """The options that a function's signature has; older releases of torch lack some.

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
        device: device of this process.
        rank: number of this process, from 0; rank 0 writes files and draws the progress bar.
        world: number of processes.

    Example:
        >>> ranks = Ranks(torch.device("cpu"))
        >>> ranks.first, ranks.any(False)
        (True, False)
    """

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module; with several processes, every backward pass averages its gradients over them."""
        if self.world == 1:
            return module
        places = [self.device] if self.device.type == "cuda" else None
        options = accepted(DistributedDataParallel, forward_sync_buffers=False)
        return DistributedDataParallel(module, device_ids=places, **options)

    def mean(self, scalars: dict[str, Tensor]) -> dict[str, Tensor]:
        """Means of scalars over all processes, detached float32 on the device, so that the host does not wait."""
        values = torch.stack([value.detach().float() for value in scalars.values()])
        if self.world > 1:
            dist.all_reduce(values)
            values = values / self.world
        return dict(zip(scalars, values.unbind(), strict=True))

    def wait(self) -> None:
        """Wait until every process calls this."""
        if self.world > 1:
            dist.barrier()

    def told(self, value: Any) -> Any:
        """What the first process gives here, in every process; all must call this in the same place."""
        if self.world == 1:
            return value
        given = [value]
        dist.broadcast_object_list(given, device=self.device)
        return given[0]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; all must call this in the same step."""
        if self.world == 1:
            return flag
        asked = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(asked, dist.ReduceOp.MAX)
        return bool(asked.item())


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that torch's launcher started (RANK, WORLD_SIZE): gloo on CPUs, NCCL on GPUs."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(minutes=10))
    try:
        yield Ranks(device, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
