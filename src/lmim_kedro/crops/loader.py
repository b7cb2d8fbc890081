"""Batches of crops, in an order that depends on seed and epoch alone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.crops.decode import decode_batch
from lmim_kedro.crops.random import permutation


class CropStore(Protocol):
    """What the loader needs of a store."""

    def __len__(self) -> int: ...

    def fetch(self, indices: np.ndarray) -> list[bytes]: ...

    def labels(self, indices: np.ndarray) -> list[str]: ...


@dataclass
class CropBatch:
    """images (B, 3, H, W) uint8, aspect (B,) float32, index (B,) int64, and labels where asked for."""

    images: Tensor
    aspect: Tensor
    index: Tensor
    labels: list[str] | None


class CropLoader:
    """Batches of a store."""

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
    ) -> None:
        self.store, self.height, self.width, self.batch_size, self.seed = store, height, width, batch_size, seed
        self.shuffle, self.indices, self.prefetch, self.drop_last = shuffle, indices, prefetch, drop_last
        self.with_labels = with_labels
        self.count = len(store) if indices is None else len(indices)

    @property
    def batches_per_epoch(self) -> int:
        full, rest = divmod(self.count, self.batch_size)
        return full + (0 if self.drop_last or rest == 0 else 1)

    def epoch(self, epoch: int, first_batch: int = 0) -> Iterator[CropBatch]:
        order = (
            permutation(self.count, seed=self.seed, stream="order", epoch=epoch)
            if self.shuffle
            else np.arange(self.count)
        )
        if self.indices is not None:
            order = self.indices[order]
        out: queue.Queue = queue.Queue(self.prefetch)
        stop = threading.Event()

        def work() -> None:
            try:
                for b in range(first_batch, self.batches_per_epoch):
                    index = np.asarray(order[b * self.batch_size : (b + 1) * self.batch_size], np.int64)
                    images, aspect = decode_batch(self.store.fetch(index), self.height, self.width)
                    labels = self.store.labels(index) if self.with_labels else None
                    item = CropBatch(
                        torch.from_numpy(images), torch.from_numpy(aspect), torch.from_numpy(index), labels
                    )
                    while not stop.is_set():
                        try:
                            out.put(item, timeout=0.1)
                            break
                        except queue.Full:
                            continue
                    if stop.is_set():
                        return
                out.put(None)
            except BaseException as error:
                out.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            while (item := out.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join()
