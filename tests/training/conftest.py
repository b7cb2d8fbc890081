"""A store in memory, and a recipe that trains a very small model on it."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from lmim_kedro.params import (
    FinetuningParams,
    ModelParams,
    OptimizationParams,
    PretrainingParams,
    RecognizerParams,
    TrainingParams,
    ViewPreset,
)
from lmim_kedro.recipe import Recipe

ADAMW = {"betas": (0.9, 0.95), "weight_decay": 0.05, "layer_decay": 1.0}


class MemoryStore:
    """Crops as PNG bytes, with labels."""

    fingerprint = "memory"

    def __init__(self, count: int) -> None:
        random = np.random.default_rng(0)
        pixels = random.integers(0, 256, (count, 12, 30, 3), dtype=np.uint8)
        self._bytes = [cv2.imencode(".png", image)[1].tobytes() for image in pixels]
        self._labels = ["ab" if number % 2 else "ba" for number in range(count)]

    def __len__(self) -> int:
        return len(self._bytes)

    def fetch(self, indices: Sequence[int]) -> list[bytes]:
        return [self._bytes[index] for index in indices]

    def labels(self, indices: Sequence[int]) -> list[str]:
        return [self._labels[index] for index in indices]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(40)


@pytest.fixture
def size() -> ModelParams:
    return ModelParams(
        patch_height=32,
        input="gray",
        position_grid="layout",
        width=16,
        depth=2,
        heads=2,
        decoder_width=16,
        decoder_depth=1,
        decoder_heads=2,
        decoder_ffn=16,
        decoder_dropout=0.1,
        recognizer=RecognizerParams(width=16, depth=1, heads=2, ffn=16),
    )


@pytest.fixture
def optimization() -> OptimizationParams:
    return OptimizationParams(steps=12, batch_size=8, warmup_steps=3, base_learning_rate=0.03, **ADAMW)


@pytest.fixture
def pretraining(optimization) -> PretrainingParams:
    return PretrainingParams.model_validate({"teacher": {"optimization": optimization}, "optimization": optimization})


@pytest.fixture
def training() -> TrainingParams:
    return TrainingParams(device="cpu", threads=1, log_every=1, checkpoint_steps=5)


@pytest.fixture
def recipe_of(size: ModelParams, pretraining: PretrainingParams, optimization: OptimizationParams):
    """Makes the recipe of a fine-tuning, with some of its parameters."""

    def make(model: ModelParams = size, optimization: OptimizationParams = optimization, **finetuning: Any) -> Recipe:
        given = {"optimization": optimization, "max_length": 6, "augmentation": "none"} | finetuning
        return Recipe(
            variant="lmim",
            env="test",
            seed=0,
            model_name="tiny",
            model=model,
            views=ViewPreset(),
            views_name="none",
            pretraining=pretraining,
            finetuning=FinetuningParams.model_validate(given),
        )

    return make
