"""What is random about a crop's view: numbers drawn on the host, a function of (seed, epoch, crop index) alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.crops.random import uniform


class Draws:
    """Uniform numbers of a batch, handed out column by column.

    Args:
        columns: numbers per crop that will be asked for.
        seed, stream, epoch, index: as in crops.random.uniform.
    """

    def __init__(self, columns: int, *, seed: int, stream: str, epoch: int, index: np.ndarray) -> None:
        self._numbers = uniform(columns, seed=seed, stream=stream, epoch=epoch, index=index).astype(np.float64)
        self._next = 0

    def unit(self, count: int | None = None) -> np.ndarray:
        """The next (B,) or (B, count) numbers in [0, 1)."""
        first, self._next = self._next, self._next + (count or 1)
        if self._next > self._numbers.shape[1]:
            raise IndexError(f"{self._next} numbers asked for, {self._numbers.shape[1]} drawn")
        return self._numbers[:, first] if count is None else self._numbers[:, first : self._next]

    def between(self, low: float, high: float, count: int | None = None) -> np.ndarray:
        """Uniform in [low, high)."""
        return low + (high - low) * self.unit(count)

    def normal(self, count: int) -> np.ndarray:
        """(B, count) standard normal numbers (Box-Muller; draws 2 * count)."""
        radius = np.sqrt(-2 * np.log1p(-self.unit(count)))
        return radius * np.cos(2 * np.pi * self.unit(count))

    def peaked(self, largest: float) -> np.ndarray:
        """Symmetric in (-largest, largest): Beta(4, 4), the median of seven uniform numbers."""
        return (np.median(self.unit(7), axis=1) - 0.5) * 2 * largest

    def falling(self, largest: float, count: int | None = None) -> np.ndarray:
        """In [0, largest), small numbers likelier: Beta(1, 4)."""
        return largest * (1 - (1 - self.unit(count)) ** 0.25)


def to_device(values: np.ndarray, like: Tensor) -> Tensor:
    """Host numbers as a tensor beside another, without waiting for the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    if like.is_cuda:
        tensor = tensor.pin_memory()
    return tensor.to(like.device, non_blocking=True)
