"""Random numbers per crop, drawn on the host from (seed, epoch, crop index), and operations in each crop's order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.crops.loader import send
from lmim_kedro.crops.randomness import uniform

UNUSED = -1  # turn of an operation that is not applied to a crop


class Draws:
    """Random numbers for a batch of crops. Each name is a stream of its own, so a new one changes none of the others.

    Args:
        purpose: first part of every stream's name.
        seed: seed of the run.
        epoch: number of the pass over the crops.
        index: (B,) int64 crop indices.

    Example:
        >>> one, two = (Draws("test", seed=0, epoch=0, index=np.array(crops)) for crops in ([7], [3, 7]))
        >>> bool(one.uniform("angle")[0] == two.uniform("angle")[1])  # the batch changes nothing
        True
    """

    def __init__(self, purpose: str, *, seed: int, epoch: int, index: np.ndarray) -> None:
        self._purpose, self._seed, self._epoch, self._index = purpose, seed, epoch, index

    def __len__(self) -> int:
        return len(self._index)

    def uniform(self, name: str, n: int = 1) -> np.ndarray:
        """(B, n) float32, uniform in [0, 1)."""
        return uniform(n, seed=self._seed, stream=f"{self._purpose} {name}", epoch=self._epoch, index=self._index)

    def between(self, name: str, low: float, high: float, n: int = 1) -> np.ndarray:
        """(B, n) float32, uniform in [low, high)."""
        return np.float32(low) + np.float32(high - low) * self.uniform(name, n)

    def whole_number(self, name: str, least: int, most: int) -> np.ndarray:
        """(B,) int64, uniform over least, ..., most."""
        return least + np.floor(self.uniform(name)[:, 0] * (most - least + 1)).astype(np.int64)

    def happens(self, name: str, probability: float) -> np.ndarray:
        """(B,) bool, True with the given probability."""
        return self.uniform(name)[:, 0] < probability

    def normal(self, name: str, n: int = 1) -> np.ndarray:
        """(B, n) float32, standard normal: the inverse distribution function at the middle of each uniform step."""
        middles = torch.from_numpy(self.uniform(name, n)).double() + 2.0**-25
        return torch.special.ndtri(middles).float().numpy()

    def symmetric_beta(self, name: str) -> np.ndarray:
        """(B, 1) float32, 2 * Beta(4, 4) - 1: in [-1, 1], mostly near 0. The median of seven uniforms is Beta(4, 4)."""
        return 2 * np.median(self.uniform(name, 7), axis=1, keepdims=True).astype(np.float32) - 1

    def asymmetric_beta(self, name: str, n: int = 1) -> np.ndarray:
        """(B, n) float32, Beta(1, 4): in [0, 1], mostly near 0. Its distribution function is 1 - (1 - x)^4."""
        return 1 - (1 - self.uniform(name, n)) ** np.float32(0.25)

    def order(self, name: str, n: int) -> np.ndarray:
        """(B, n) int64, the turn (0 to n - 1) of each of n operations; all orders are equally likely."""
        return np.argsort(np.argsort(self.uniform(name, n), axis=1, kind="stable"), axis=1)

    def some_of(self, name: str, n: int, least: int, most: int) -> np.ndarray:
        """(B, n) int64, the turn of each of n operations, of which a crop gets least to most; UNUSED for the others."""
        turns = self.order(f"{name} order", n)
        return np.where(turns < self.whole_number(f"{name} count", least, most)[:, None], turns, UNUSED)


def close_ranks(turns: np.ndarray) -> np.ndarray:
    """Renumber turns (B, n) of some operations from 0 without gaps, in the same order.

    Example:
        >>> close_ranks(np.array([[5, UNUSED, 2]])).tolist()
        [[1, -1, 0]]
    """
    last = np.where(turns == UNUSED, np.iinfo(np.int64).max, turns)
    ranks = np.argsort(np.argsort(last, axis=1, kind="stable"), axis=1)
    return np.where(turns == UNUSED, UNUSED, ranks)


def move(arrays: Sequence[np.ndarray], device: torch.device) -> list[Tensor]:
    """Copy arrays of one dtype to the device, in one transfer that the host does not wait for.

    Example:
        >>> move([np.zeros((2, 3)), np.ones(1)], torch.device("cpu"))[0].shape
        torch.Size([2, 3])
    """
    if not arrays:
        return []
    flat = torch.from_numpy(np.concatenate([array.ravel() for array in arrays]))
    parts = send(flat, device).split([array.size for array in arrays])
    return [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]


@dataclass(frozen=True)
class Operation:
    """One operation on pixels, and the crops it is applied to.

    Args:
        apply: function of images (n, 3, H, W) in [0, 1], which it may overwrite, and values (n, p); returns images.
        values: (B, p) float32, its values for each crop.
        turns: (B,) its place in each crop's order, from 0; UNUSED for crops it is not applied to.
        among: all turns that it may have, in this batch or another.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    values: np.ndarray
    turns: np.ndarray
    among: range


def apply_in_turn(images: Tensor, operations: Sequence[Operation]) -> Tensor:
    """Apply operations to images (B, 3, H, W) in place, each crop's in its own order; returns the images.

    In each turn, the crops that share an operation are gathered, changed together and put back. The host knows which
    they are, so it never waits for a GPU; a group of some dozens of crops fits a CPU's cache.

    Example:
        >>> half = Operation(lambda images, values: images / 2, np.empty((2, 0)), np.array([0, UNUSED]), range(1))
        >>> apply_in_turn(torch.ones(2, 3, 1, 1), [half])[:, 0, 0, 0].tolist()
        [0.5, 1.0]
    """
    groups = [
        (operation, rows)
        for turn in np.unique([operation.turns for operation in operations])
        if turn != UNUSED
        for operation in operations
        if len(rows := np.flatnonzero(operation.turns == turn))
    ]
    rows_there = move([rows for _, rows in groups], images.device)
    values_there = move([operation.values[rows] for operation, rows in groups], images.device)
    for (operation, _), here, values in zip(groups, rows_there, values_there, strict=True):
        images.index_copy_(0, here, operation.apply(images.index_select(0, here), values))
    return images


class Kind(NamedTuple):
    """What is the same for an operation in every batch: its function, its number p of values, its possible turns."""

    apply: Callable[[Tensor, Tensor], Tensor]
    values: int
    among: range


def packed(operations: Sequence[Operation]) -> tuple[tuple[Kind, ...], np.ndarray]:
    """The kinds of n operations, and the rest of them as (B, n + values of all) float32: turns, then values."""
    kinds = tuple(Kind(each.apply, each.values.shape[1], each.among) for each in operations)
    turns = np.stack([operation.turns for operation in operations], 1)
    return kinds, np.concatenate([turns, *(operation.values for operation in operations)], 1, dtype=np.float32)


def apply_to_all(images: Tensor, kinds: Sequence[Kind], given: Tensor) -> Tensor:
    """The result of `apply_in_turn`, by operations whose shapes are the same in every batch: for torch.compile.

    Each turn applies all operations to all crops, and keeps of each crop the one whose turn it is. Compiled, that is a
    few kernels a turn; as it is, it would compute several times as much as `apply_in_turn`.

    Args:
        images: (B, 3, H, W) in [0, 1]; not changed.
        kinds, given: from `packed`; `given` on the device of the images.

    Example:
        >>> half = Operation(lambda images, values: images / 2, np.empty((2, 0)), np.array([0, UNUSED]), range(1))
        >>> kinds, given = packed([half])
        >>> apply_to_all(torch.ones(2, 3, 1, 1), kinds, torch.from_numpy(given))[:, 0, 0, 0].tolist()
        [0.5, 1.0]
    """
    turns, *values = given.split([len(kinds), *(kind.values for kind in kinds)], 1)
    for turn in range(max(kind.among.stop for kind in kinds)):
        before = images
        for place, kind in enumerate(kinds):
            if turn in kind.among:
                its = (turns[:, place] == turn).view(-1, 1, 1, 1)
                images = torch.where(its, kind.apply(before.clone(), values[place]), images)
    return images
