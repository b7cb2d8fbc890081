"""Operations on pixels, in each crop's own order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lmim_kedro.views.draws import move


@dataclass(frozen=True)
class Operation:
    """One operation and who gets it.

    Args:
        apply: (n, 3, H, W) floats in [0, 1], its own to change, and values (n, p) -> (n, 3, H, W) in [0, 1].
        values: (B, p) float32.
        turns: (B,) at which place of its order each crop gets the operation, from 0; negative: not at all.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    values: np.ndarray
    turns: np.ndarray


def apply_in_turn(images: Tensor, operations: Sequence[Operation]) -> Tensor:
    """Give each crop its operations in its order.

    Turn by turn, the crops whose operation it is are gathered, changed together and put back. Who they are is known on
    the host, so a GPU is never waited for; a group of some dozens of crops fits a CPU's cache.

    Args:
        images: (B, 3, H, W) floats in [0, 1]; changed in place.
        operations: what there is.

    Returns:
        images.
    """
    turns = max((int(operation.turns.max(initial=-1)) for operation in operations), default=-1) + 1
    groups = [
        (operation, rows)
        for turn in range(turns)
        for operation in operations
        if len(rows := np.flatnonzero(operation.turns == turn))
    ]
    rows_there = move([rows for _, rows in groups], images.device)
    values_there = move([operation.values[rows] for operation, rows in groups], images.device)
    for (operation, _), here, values in zip(groups, rows_there, values_there, strict=True):
        images.index_copy_(0, here, operation.apply(images.index_select(0, here), values))
    return images
