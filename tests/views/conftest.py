"""Crops to draw views of, and the presets of conf/base."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from lmim_kedro.params import ViewPreset

CONF = Path(__file__).parents[2] / "conf" / "base"


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def presets() -> dict[str, ViewPreset]:
    written = yaml.safe_load((CONF / "view_presets.yml").read_text("utf-8"))["view_presets"]
    return {name: ViewPreset.model_validate(preset) for name, preset in written.items()}


@pytest.fixture(scope="session")
def crops():
    """24 smooth crops in color, their aspect ratios and their indices."""
    coarse = torch.from_numpy(np.random.default_rng(0).random((24, 3, 8, 32), np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (32, 128), mode="bilinear")
    aspect = torch.linspace(0.6, 9, 24)
    return (smooth * 255).round().byte(), aspect, np.arange(1000, 1024)
