"""Which patches are hidden: how many, and depending on what."""

import numpy as np
import pytest
import torch

from lmim_kedro.models.masking import draw_priority, split


def draw(strategy: str, index: list[int], epoch: int = 0) -> torch.Tensor:
    return draw_priority(strategy, 8, 32, seed=3, epoch=epoch, index=np.array(index))


@pytest.mark.parametrize(("ratio", "kept"), [(0.8, 51), (0.6, 102), (0.9, 25), (0.75, 64)])
@pytest.mark.parametrize("strategy", ["random", "block"])
def test_every_crop_keeps_the_same_number_of_patches(strategy, ratio, kept):
    parts = split(draw(strategy, [0, 1, 2, 3]), ratio)
    assert parts.kept.shape == (4, kept)
    assert torch.equal(parts.mask().sum(1), torch.full((4,), 256.0 - kept))
    everything = torch.cat([parts.kept, parts.removed], 1).sort(1).values
    assert torch.equal(everything, torch.arange(256).expand(4, -1))


@pytest.mark.parametrize("strategy", ["random", "block"])
def test_a_crops_mask_depends_on_the_crop_and_the_epoch_alone(strategy):
    together, alone = draw(strategy, [5, 9, 7]), draw(strategy, [9])
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(alone, draw(strategy, [9], epoch=1))


def test_patches_of_smallest_noise_are_kept():
    priority = torch.tensor([[0.4, 0.1, 0.3, 0.2]])
    parts = split(priority, 0.5)
    assert parts.kept.tolist() == [[1, 3]] and parts.removed.tolist() == [[2, 0]]


def test_block_masks_are_more_connected_than_random_ones():
    def neighbours_alike(strategy: str) -> float:
        mask = split(draw(strategy, list(range(64))), 0.6).mask().view(-1, 8, 32)
        return (mask[:, :, 1:] == mask[:, :, :-1]).float().mean().item()

    assert neighbours_alike("random") == pytest.approx(0.6**2 + 0.4**2, abs=0.02)
    assert neighbours_alike("block") > 0.8


def test_block_masks_spare_no_part_of_the_crop():
    share = split(draw("block", list(range(600))), 0.6).mask().mean(0)
    assert share.min() > 0.25 and share.max() < 0.8
