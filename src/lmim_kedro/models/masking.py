"""Which patches of a crop the encoder does not see.

Every strategy is a *priority*: one number per patch, and the patches with the smallest are kept. Random masking is
uniform priority; block masking gives the patches of earlier rectangles a larger one. So a single sort serves all
strategies, every crop keeps the same number of patches, and a new strategy is a new priority.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.crops.random import uniform

BLOCKS = 24  # rectangles drawn per crop; more than any ratio in use needs


class Split(NamedTuple):
    """Patch indices of a batch: `kept` (B, K) and `removed` (B, N - K), each in order of priority."""

    kept: Tensor
    removed: Tensor

    def mask(self) -> Tensor:
        """(B, N) float: 1 where a patch is removed, 0 where it is kept."""
        batch, total = self.kept.shape[0], self.kept.shape[1] + self.removed.shape[1]
        mask = torch.zeros(batch, total, device=self.kept.device)
        return mask.scatter_(1, self.removed, 1.0)


def split(priority: Tensor, mask_ratio: float) -> Split:
    """Keep the int(N * (1 - mask_ratio)) patches of smallest priority (paper, section 3.1).

    Args:
        priority: (B, N) floats.
        mask_ratio: share of patches to remove, 0 < ratio < 1.
    """
    order = torch.argsort(priority, dim=1, stable=True)
    kept = int(priority.shape[1] * (1 - mask_ratio))
    return Split(order[:, :kept], order[:, kept:])


def draw_priority(
    strategy: Literal["random", "block"],
    rows: int,
    columns: int,
    *,
    seed: int,
    epoch: int,
    index: np.ndarray,
) -> Tensor:
    """Priorities (B, rows * columns) on the CPU: a function of seed, epoch and crop index alone."""
    noise = uniform(rows * columns, seed=seed, stream="masking", epoch=epoch, index=index)
    if strategy == "block":
        noise = noise + _block_order(rows, columns, seed=seed, epoch=epoch, index=index)
    return torch.from_numpy(noise)


def _block_order(rows: int, columns: int, *, seed: int, epoch: int, index: np.ndarray) -> np.ndarray:
    """(B, rows * columns): patches under the first rectangle get the largest value, uncovered ones 0.

    Rectangles as in BEiT: area 4 % to 30 % of the crop, aspect ratio 0.3 to 1/0.3 in pixels of the squeezed grid,
    its centre anywhere, so that no part of the crop is spared. The ratio is met exactly: the last rectangle is removed
    only in part, at random.
    """
    draws = uniform(BLOCKS * 4, seed=seed, stream="masking blocks", epoch=epoch, index=index)
    area, aspect, y, x = np.moveaxis(draws.reshape(-1, BLOCKS, 4), 2, 0)
    area = (0.04 + 0.26 * area) * rows * columns
    aspect = np.exp((2 * aspect - 1) * np.log(1 / 0.3)) * rows / columns * 2
    height = np.clip(np.rint(np.sqrt(area * aspect)), 1, rows)
    width = np.clip(np.rint(area / height), 1, columns)
    top, left = np.rint(y * rows - height / 2), np.rint(x * columns - width / 2)
    row, column = np.arange(rows), np.arange(columns)
    in_rows = (row >= top[..., None]) & (row < (top + height)[..., None])  # (B, BLOCKS, rows)
    in_columns = (column >= left[..., None]) & (column < (left + width)[..., None])
    covered = in_rows[..., :, None] & in_columns[..., None, :]  # (B, BLOCKS, rows, columns)
    turns = np.arange(BLOCKS, 0, -1, dtype=np.float32)[None, :, None, None]
    return (covered * turns).max(axis=1).reshape(len(index), rows * columns)
