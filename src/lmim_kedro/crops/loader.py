"""Batches of crops, in an order that depends on seed and epoch alone."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.crops.ahead import ahead
from lmim_kedro.crops.pixels import CropStore, decode_stored, shown_aspect
from lmim_kedro.crops.randomness import permutation
from lmim_kedro.errors import InputError

PINNED_FOR = "cuda"
"""Type of device to which the host copies from page-locked memory."""


@dataclass(frozen=True)
class CropBatch:
    """Crops of one step.

    Attributes:
        images: (B, 3, H, W) uint8 RGB.
        aspect: (B,) float32, width / height before resizing, of what the crop shows (pixels.shown_aspect).
        index: (B,) int64, places in the store.
        labels: B labels, where they were asked for.
        views: (B, 3, H, W) uint8 RGB, the crops' materialized guidance views, where there are some.
    """

    images: Tensor
    aspect: Tensor
    index: Tensor
    labels: list[str] | None = None
    views: Tensor | None = None

    def split(self, parts: int) -> list[CropBatch]:
        """The same crops in that many batches of equal size (the last ones one crop smaller where it does not fit)."""
        if parts == 1:
            return [self]
        places = [part for part in np.array_split(np.arange(len(self.images)), parts) if len(part)]
        cuts = [slice(int(part[0]), int(part[-1]) + 1) for part in places]
        each = self.images, self.aspect, self.index, self.labels, self.views
        return [CropBatch(*(_cut(values, cut) for values in each)) for cut in cuts]


def send(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy a tensor from the host to a device; the host does not wait, as the copy is made from page-locked memory.

    Example:
        >>> send(torch.arange(3), "cpu")
        tensor([0, 1, 2])
    """
    if torch.device(device).type == PINNED_FOR and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _cut(values: Any, cut: slice) -> Any:
    return None if values is None else values[cut]


@dataclass(frozen=True)
class JoinedStores:
    """Two stores as one: the places of the second come after those of the first."""

    first: CropStore
    second: CropStore

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def fetch(self, indices: Sequence[int] | np.ndarray) -> list[bytes]:
        """Encoded crops, in the order of their places."""
        return self._values("fetch", indices)

    def labels(self, indices: Sequence[int] | np.ndarray) -> list[str]:
        """Their labels."""
        return self._values("labels", indices)

    def _values(self, of: Literal["fetch", "labels"], indices: Sequence[int] | np.ndarray) -> list[Any]:
        places = np.asarray(indices, np.int64)
        second = places >= len(self.first)
        of_first = iter(getattr(self.first, of)(places[~second].tolist()))
        of_second = iter(getattr(self.second, of)((places[second] - len(self.first)).tolist()))
        return [next(of_second if other else of_first) for other in second]


class CropLoader:
    """Reads, decodes and resizes batches ahead of their use, in threads (OpenCV releases the interpreter lock).

    Batch t of an epoch holds the same crops whatever the number of threads or ranks; a rank takes its slice of it.

    Args:
        store: holds the crops.
        height, width: size of the crops in a batch, pixels.
        batch_size: crops per batch, over all ranks.
        seed: seed of the order.
        shuffle: a new order every epoch; False: as stored.
        indices: places in the store to use; None: all.
        rank, world: number of this process, and of processes that share each batch.
        threads: threads that decode.
        prefetch: batches kept ready.
        drop_last: leave out crops that do not fill a batch (they come in another epoch's order); False: the last batch
            is short.
        pin: hand over page-locked tensors, for copies to a GPU that nothing waits for.
        with_labels: fetch labels too.
        mixed_in: places in the store of crops that are mixed into those of `indices`, taken in turn; None: none are.
        mixed_per_epoch: how many of them an epoch has.
        views: store of materialized guidance views: view v of crop i at v * len(store) + i. Epoch e gets view e, then
            the first again. None: batches come without views.
        keep_ratio, rotate_tall: how crops are prepared, as for `decode_batch`.
    """

    def __init__(
        self,
        store: CropStore,
        *,
        height: int,
        width: int,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        indices: np.ndarray | None = None,
        rank: int = 0,
        world: int = 1,
        threads: int = 2,
        prefetch: int = 4,
        drop_last: bool = True,
        pin: bool = False,
        with_labels: bool = False,
        mixed_in: np.ndarray | None = None,
        mixed_per_epoch: int = 0,
        views: CropStore | None = None,
        keep_ratio: bool = False,
        rotate_tall: float | None = None,
    ) -> None:
        if batch_size % world:
            raise InputError(f"a batch of {batch_size} crops cannot be shared by {world} processes: take a multiple")
        self.store, self.height, self.width = store, height, width
        self.batch_size, self.seed, self.shuffle, self.indices = batch_size, seed, shuffle, indices
        self.rank, self.world, self.threads, self.prefetch = rank, world, threads, prefetch
        self.drop_last, self.pin, self.with_labels, self.views = drop_last, pin, with_labels, views
        self.mixed_in, self.mixed_per_epoch = mixed_in, mixed_per_epoch
        self.keep_ratio, self.rotate_tall = keep_ratio, rotate_tall

    def __len__(self) -> int:
        """Crops in an epoch, before any is dropped."""
        return (len(self.store) if self.indices is None else len(self.indices)) + self.mixed_per_epoch

    @property
    def batches_per_epoch(self) -> int:
        """Batches that an epoch gives."""
        return len(self) // self.batch_size if self.drop_last else -(-len(self) // self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Places in the store, in the order of an epoch."""
        if self.shuffle:
            order = permutation(len(self), seed=self.seed, stream="order", epoch=epoch)
        else:
            order = np.arange(len(self))
        indices = self.indices
        if self.mixed_in is not None:
            own = np.arange(len(self.store)) if indices is None else indices
            indices = np.concatenate([own, self._mixed(self.mixed_in, epoch)])
        return order if indices is None else indices[order]

    def _mixed(self, places: np.ndarray, epoch: int) -> np.ndarray:
        """The crops mixed into an epoch: the next ones of an endless row, in which each has its turn."""
        turns = np.arange(epoch * self.mixed_per_epoch, (epoch + 1) * self.mixed_per_epoch)
        rounds, at = np.divmod(turns, len(places))
        drawn = [
            permutation(len(places), seed=self.seed, stream="mixed in", epoch=int(number))[at[rounds == number]]
            for number in np.unique(rounds)
        ]
        return places[np.concatenate(drawn)]

    def epoch(self, epoch: int, first_batch: int = 0) -> Generator[CropBatch, None, None]:
        """The batches of an epoch from `first_batch` on.

        Raises:
            InputError: a crop cannot be decoded; ingest would have set it aside.
        """

        def batches() -> Generator[CropBatch, None, None]:
            order = self.order(epoch)
            with ThreadPoolExecutor(self.threads) as pool:
                for number in range(first_batch, self.batches_per_epoch):
                    yield self._load(order, epoch, number, pool)

        return ahead(batches(), self.prefetch)

    def _load(self, order: np.ndarray, epoch: int, number: int, pool: ThreadPoolExecutor) -> CropBatch:
        batch = order[number * self.batch_size : (number + 1) * self.batch_size]
        index = np.array_split(batch, self.world)[self.rank].astype(np.int64)
        places, size = index.tolist(), (self.height, self.width, pool)
        images, aspect = decode_stored(self.store, places, *size, self.keep_ratio, self.rotate_tall)
        labels = self.store.labels(places) if self.with_labels else None
        arrays = [images, shown_aspect(aspect, self.height, self.width, self.keep_ratio), index]
        if self.views is not None:
            first = epoch % (len(self.views) // len(self.store)) * len(self.store)
            arrays.append(decode_stored(self.views, (first + index).tolist(), *size)[0])
        tensors = [torch.from_numpy(array) for array in arrays]
        if self.pin:
            tensors = [tensor.pin_memory() for tensor in tensors]
        return CropBatch(tensors[0], tensors[1], tensors[2], labels, tensors[3] if self.views is not None else None)
