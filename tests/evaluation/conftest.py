"""Tests of this folder begin with the same random numbers."""

import io
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture(autouse=True)
def _fixed_randomness() -> None:
    torch.manual_seed(0)


class NoisyCrops:
    """A labeled store of random crops, or of crops in one gray."""

    def __init__(self, count: int, flat: int | None = None) -> None:
        self.count, self.flat = count, flat

    def __len__(self) -> int:
        return self.count

    def fetch(self, indices: Sequence[int]) -> list[bytes]:
        return [self.encoded(int(index)) for index in indices]

    def labels(self, indices: Sequence[int]) -> list[str]:
        return [f"word{int(index)}" for index in indices]

    def encoded(self, index: int) -> bytes:
        noise = np.random.default_rng(index).integers(0, 255, (8, 32, 3), dtype=np.uint8)
        if self.flat is not None:
            noise[:] = self.flat
        file = io.BytesIO()
        Image.fromarray(noise).resize((128, 32)).save(file, "PNG")
        return file.getvalue()


@pytest.fixture
def noisy_crops() -> type[NoisyCrops]:
    return NoisyCrops
