"""What tests of every folder share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from lmim_kedro.params import ModelParams, OptimizationParams, PretrainingParams, RecognizerParams

ADAMW = {"betas": (0.9, 0.95), "weight_decay": 0.05, "layer_decay": 1.0}

os.environ.setdefault("MPLBACKEND", "Agg")  # no test needs a screen
# Tests with drawn inputs: few and always the same here, many and seeded with `make fuzz`.
_EVERY = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("short", max_examples=25, derandomize=True, **_EVERY)
settings.register_profile("fuzz", max_examples=int(os.environ.get("FUZZ_EXAMPLES", "2000")), **_EVERY)
settings.load_profile("short")
READER = RecognizerParams(width=32, depth=2, heads=4, ffn=16, dropout=0.0)


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root folder."""
    return Path(__file__).parents[1]


@pytest.fixture
def released_size() -> ModelParams:
    """The released geometry (8 x 32 patches), small."""
    return ModelParams(
        width=24,
        depth=2,
        heads=3,
        decoder_width=32,
        decoder_heads=4,
        decoder_ffn=48,
        decoder_dropout=0.0,
        recognizer=READER,
    )


@pytest.fixture
def columns_size() -> ModelParams:
    """Overlapping column patches of a gray crop, small."""
    return ModelParams(
        patch_height=32,
        patch_overlap=4,
        input="gray",
        position_grid="layout",
        width=24,
        depth=2,
        heads=3,
        decoder_width=32,
        decoder_heads=4,
        decoder_ffn=48,
        decoder_dropout=0.0,
        recognizer=READER,
    )


@pytest.fixture
def stem_size(columns_size: ModelParams) -> ModelParams:
    """Columns that convolutions make of a gray crop, small."""
    return columns_size.model_copy(update={"stem": ((8, 2, 2), (12, 4, 2))})


@pytest.fixture
def recipe() -> PretrainingParams:
    """The paper's pre-training."""
    short = OptimizationParams(steps=2, warmup_steps=1, base_learning_rate=1e-4, batch_size=512, **ADAMW)
    return PretrainingParams.model_validate({"teacher": {"optimization": short}, "optimization": short})


@pytest.fixture
def crops() -> torch.Tensor:
    """Three noisy crops in [-1, 1]."""
    return torch.rand(3, 3, 32, 128) * 2 - 1
