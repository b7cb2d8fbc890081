"""A seed draws the views that it drew before: recorded numbers, so that a run goes on the same after an update.

`python tests/views/test_recorded_views.py` records them anew, where views change on purpose.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from lmim_kedro.params import ViewPreset
from lmim_kedro.views.abinet import AbinetAugmentation
from lmim_kedro.views.guidance import GuidanceViews
from lmim_kedro.views.parseq import ParseqAugmentation

RECORDED = Path(__file__).with_name("recorded_views.json")
PRESETS = Path(__file__).parents[2] / "conf" / "base" / "view_presets.yml"
KINDS = ("weak", "medium", "strong", "abinet", "parseq")
CROPS = 96


def views_of(kind: str) -> np.ndarray:
    """(96, 4): mean of each view, and its sums weighted along the crop, down it and over its channels."""
    coarse = torch.from_numpy(np.random.default_rng(5).random((CROPS, 3, 8, 32), np.float32))
    smooth = torch.nn.functional.interpolate(coarse, (32, 128), mode="bilinear")
    aspect = torch.linspace(0.6, 9, CROPS)
    draw: Callable[..., Any]
    if kind == "abinet":
        draw = AbinetAugmentation(32, 128)
    elif kind == "parseq":
        draw = ParseqAugmentation(32, 128)
    else:
        presets = yaml.safe_load(PRESETS.read_text("utf-8"))
        draw = GuidanceViews(ViewPreset.model_validate(presets.get("view_presets", presets)[kind]))
    views = draw((smooth * 255).round().byte(), aspect, seed=3, epoch=2, index=np.arange(500, 500 + CROPS)).double()
    along, down = torch.linspace(-1, 1, 128).double(), torch.linspace(-1, 1, 32).double()
    channels = torch.tensor([-1.0, 0.0, 1.0]).double()
    sums = [
        views.mean((1, 2, 3)),
        (views.mean((1, 2)) * along).mean(1),
        (views.mean((1, 3)) * down).mean(1),
        (views.mean((2, 3)) * channels).mean(1),
    ]
    return torch.stack(sums, 1).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_draws_the_views_that_it_drew_before(kind: str) -> None:
    recorded = np.array(json.loads(RECORDED.read_text("utf-8"))[kind])
    assert views_of(kind) == pytest.approx(recorded, abs=2e-5)


if __name__ == "__main__":
    torch.set_num_threads(1)
    numbers = {kind: views_of(kind).round(6).tolist() for kind in KINDS}
    RECORDED.write_text(json.dumps(numbers) + "\n", "utf-8")
