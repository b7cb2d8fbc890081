"""A seed masks the patches that it masked before: recorded numbers, so that a run goes on the same after an update.

`python tests/models/test_recorded_masks.py` records them anew, where masks change on purpose.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lmim_kedro.models.masking import draw_priority, split

RECORDED = Path(__file__).with_name("recorded_masks.json")
STRATEGIES = ("random", "block", "span", "density")
CROPS = 64


def masks_of(strategy: str) -> np.ndarray:
    """(256,): how many of 64 crops lose each patch."""
    dark = np.random.default_rng(5).random((CROPS, 1, 1, 128)) < 0.2  # strokes, from top to bottom
    images = torch.from_numpy(np.where(dark, 40, 220).astype(np.uint8)).expand(CROPS, 3, 32, 128).contiguous()
    index = np.arange(500, 500 + CROPS)
    priority = draw_priority(strategy, 8, 32, seed=3, epoch=2, index=index, images=images)
    return split(priority, 0.6).mask().sum(0).int().numpy()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_seed_masks_the_patches_that_it_masked_before(strategy):
    recorded = np.array(json.loads(RECORDED.read_text("utf-8"))[strategy])
    assert np.abs(masks_of(strategy) - recorded).sum() <= 4  # a rounding of another machine may move a patch or two


if __name__ == "__main__":
    RECORDED.write_text(json.dumps({strategy: masks_of(strategy).tolist() for strategy in STRATEGIES}) + "\n", "utf-8")
