"""Which patches of a crop the encoder does not see (paper, section 3.1; Table 5: random and block).

Every strategy is a *priority*: one number per patch, and the patches with the smallest are kept. Random masking is
uniform priority; block masking gives the patches of earlier rectangles a larger one; span masking all patches of a
column nearly the same; density masking orders the patches within each character, and the characters side by side. So a
single sort serves all strategies, every crop keeps the same number of patches, and a new strategy is a new priority.
Span and density masking are this project's; `training.tasks` draws the priorities.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.crops.loader import send
from lmim_kedro.crops.randomness import uniform

BLOCKS = 24  # rectangles drawn per crop; more than any ratio in use needs
SPANS = 6  # pieces that span masking cuts a crop into, about as many as a word has characters
GOLDEN = (5**0.5 - 1) / 2
CHARACTERS = 8  # parts of equal stroke energy that density masking takes for characters


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

    Example:
        >>> split(torch.tensor([[0.3, 0.1, 0.9, 0.2]]), 0.5)
        Split(kept=tensor([[1, 3]]), removed=tensor([[0, 2]]))
    """
    order = torch.argsort(priority, dim=1, stable=True)
    kept = int(priority.shape[1] * (1 - mask_ratio))
    return Split(order[:, :kept], order[:, kept:])


def draw_priority(
    strategy: Literal["random", "block", "span", "density"],
    rows: int,
    columns: int,
    *,
    seed: int,
    epoch: int,
    index: np.ndarray,
    images: Tensor | None = None,
) -> Tensor:
    """Priorities (B, rows * columns), a function of seed, epoch, crop index and, for density masking, of the crop.

    Args:
        strategy: see PretrainingParams.masking.
        rows, columns: number of rows and columns of patches.
        seed, epoch, index: what the draw depends on; index (B,) int64.
        images: crops (B, 3, H, W) uint8; needed for density masking only.

    Returns:
        float tensor, on the CPU, or for density masking on the device of the images.
    """
    noise = uniform(rows * columns, seed=seed, stream="masking", epoch=epoch, index=index)
    if strategy == "block":
        noise = noise + _block_order(rows, columns, seed=seed, epoch=epoch, index=index)
    if strategy == "span":
        noise = noise + _span_order(rows, columns, seed=seed, epoch=epoch, index=index)
    priority = torch.from_numpy(noise)
    if strategy == "density":
        assert images is not None, "density masking looks at the crops"
        return density_order(send(priority, images.device), characters(images, columns), rows)
    return priority


def stroke_energy(images: Tensor, columns: int) -> Tensor:
    """How much ink changes in each column of patches: (B, 3, H, W) uint8 -> (B, columns), summing to 1.

    The absolute horizontal gradient of luma, summed over the height: large where strokes are, small between
    characters and on plain background. It needs no label.
    """
    red, green, blue = images.float().unbind(1)
    luma = red * 0.299 + green * 0.587 + blue * 0.114
    change = torch.nn.functional.pad((luma[:, :, 1:] - luma[:, :, :-1]).abs(), (0, 1)).sum(1)
    energy = change.unflatten(1, (columns, -1)).sum(-1)
    return energy / energy.sum(1, keepdim=True).clamp(min=1e-6)


def characters(images: Tensor, columns: int) -> Tensor:
    """The character that each column of patches belongs to, guessed: (B, columns) int64 from 0, rising to the right.

    A crop is cut into CHARACTERS parts of equal stroke energy, so that a part is narrow where characters are dense and
    wide where there are few; empty margins join the part beside them.
    """
    energy = stroke_energy(images, columns) + 1e-4
    middle = energy.cumsum(1) - energy / 2
    return (middle / energy.sum(1, keepdim=True) * CHARACTERS).long().clamp(0, CHARACTERS - 1)


def density_order(noise: Tensor, parts: Tensor, rows: int) -> Tensor:
    """Priorities by which every part loses its share: noise (B, N), parts (B, columns) -> (B, N).

    Patches are lined up part by part, at random within a part, and get the multiples of the golden ratio modulo 1 from
    left to right: these lie so evenly that any threshold keeps the same share of every stretch of the line, up to a
    patch or two.
    """
    part = parts.repeat(1, rows)  # patches lie in reading order: row by row
    order = torch.argsort(part * 2.0 + noise, dim=1)  # noise < 1
    place = torch.arange(noise.shape[1], device=noise.device, dtype=torch.float64)
    start = (noise[:, :1].double() * 977) % 1  # where the multiples begin, anew for each crop and epoch
    priority = (place * GOLDEN + start) % 1
    return torch.empty_like(noise).scatter_(1, order, priority.to(noise.dtype))


def _span_order(rows: int, columns: int, *, seed: int, epoch: int, index: np.ndarray) -> np.ndarray:
    """(B, rows * columns): whole neighboring columns go together.

    A crop is cut into SPANS pieces at random places; pieces are removed in random order, each from one of its ends on,
    so the ratio is met by whole columns but for the last.
    """
    draws = uniform(2 * SPANS, seed=seed, stream="masking spans", epoch=epoch, index=index)
    cuts = np.sort(np.rint(draws[:, : SPANS - 1] * columns), axis=1)
    column = np.arange(columns)
    piece = (column[None, :, None] >= cuts[:, None, :]).sum(axis=2)  # (B, columns)
    turn = np.take_along_axis(draws[:, SPANS:].argsort(axis=1).argsort(axis=1), piece, axis=1)
    order = turn * columns + column[None]
    return np.tile(2.0 * order, (1, rows)).astype(np.float32)


def _block_order(rows: int, columns: int, *, seed: int, epoch: int, index: np.ndarray) -> np.ndarray:
    """(B, rows * columns): patches under the first rectangle get the largest value, uncovered ones 0.

    Rectangles as in BEiT: area 4 % to 30 % of the crop, height / width 0.3 to 1/0.3 on a crop twice as wide as high,
    as words are before they are squeezed into 32 x 128; the center anywhere, so that no part of the crop is spared.
    The ratio is met exactly: the last rectangle is removed only in part, at random.
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
