"""Which patches are hidden: how many, and depending on what."""

import numpy as np
import pytest
import torch

from lmim_kedro.models.masking import CHARACTERS, characters, draw_priority, split, stroke_energy


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
    def neighbors_alike(strategy: str) -> float:
        mask = split(draw(strategy, list(range(64))), 0.6).mask().view(-1, 8, 32)
        return (mask[:, :, 1:] == mask[:, :, :-1]).float().mean().item()

    assert neighbors_alike("random") == pytest.approx(0.6**2 + 0.4**2, abs=0.02)
    assert neighbors_alike("block") > 0.8


def test_rectangles_of_block_masks_are_as_high_as_wide_on_a_crop_twice_as_wide_as_high():
    first = draw("block", list(range(400))).view(-1, 8, 32) >= 24  # the first of 24 rectangles goes first
    height, width = first.any(2).sum(1) / 8, first.any(1).sum(1) / 16
    assert (height / width).median().item() == pytest.approx(1, abs=0.2)


def test_block_masks_spare_no_part_of_the_crop():
    share = split(draw("block", list(range(600))), 0.6).mask().mean(0)
    assert share.min() > 0.25 and share.max() < 0.8


def striped_crops() -> torch.Tensor:
    """Two crops: strokes crowded into the left quarter, and strokes everywhere."""
    images = torch.full((2, 3, 32, 128), 200, dtype=torch.uint8)
    images[0, :, :, :32:4] = 0
    images[1, :, :, ::8] = 0
    return images


def test_characters_are_narrow_where_strokes_are_dense():
    parts = characters(striped_crops(), columns=32)
    assert parts.shape == (2, 32)
    assert (parts.diff(dim=1) >= 0).all() and parts.min() >= 0 and parts.max() < CHARACTERS
    widths = [torch.bincount(row, minlength=CHARACTERS) for row in parts]
    assert (parts[0, :8].unique().numel()) >= CHARACTERS - 1  # nearly all of the guessed characters lie where ink is
    assert widths[1].max() <= 5  # evenly spread: about 4 columns each


def test_stroke_energy_is_that_of_luma():
    images = torch.zeros(1, 3, 32, 128, dtype=torch.uint8)
    for channel in range(3):
        images[:, channel, :, 32 * channel + 2] = 250  # columns 0, 8 and 16
    assert stroke_energy(images, 32)[0, [0, 8, 16]].tolist() == pytest.approx([0.299, 0.587, 0.114], abs=1e-4)


def test_characters_of_evenly_spread_strokes_are_equally_wide():
    images = torch.full((1, 3, 32, 128), 200, dtype=torch.uint8)
    images[..., 2::4] = 0  # a stroke in each of 32 columns of patches
    assert characters(images, columns=32)[0].tolist() == [column // 4 for column in range(32)]


@pytest.mark.parametrize(("rows", "columns"), [(1, 32), (8, 32)])
@pytest.mark.parametrize("ratio", [0.6, 0.8])
def test_density_masking_takes_the_same_share_of_every_character(rows, columns, ratio):
    images = striped_crops()
    index = np.arange(2)
    priority = draw_priority("density", rows, columns, seed=0, epoch=0, index=index, images=images)
    mask = split(priority, ratio).mask().view(2, rows, columns)
    parts = characters(images, columns)
    for crop in range(2):
        for part in parts[crop].unique():
            inside = mask[crop][:, parts[crop] == part]
            assert abs(inside.sum() - ratio * inside.numel()) <= 1.5, (crop, int(part))


def test_density_masking_depends_on_seed_epoch_and_crop_alone():
    images = striped_crops()[:1].expand(6, -1, -1, -1)
    whole = draw_priority("density", 8, 32, seed=3, epoch=1, index=np.arange(6), images=images)
    one = draw_priority("density", 8, 32, seed=3, epoch=1, index=np.array([4]), images=images[:1])
    assert torch.equal(whole[4], one[0])
    assert not torch.equal(whole[3], whole[4])


def test_span_masking_takes_whole_columns_but_for_one():
    mask = split(draw_priority("span", 8, 32, seed=0, epoch=0, index=np.arange(50)), 0.8).mask().view(50, 8, 32)
    share = mask.mean(dim=1)
    assert (((share > 0) & (share < 1)).sum(dim=1) <= 1).all()
    runs = (share.round().diff(dim=1).abs().sum(dim=1) + 1).mean()
    assert runs < 8  # random columns would change between seen and removed 11 times
    assert (mask.mean(dim=(0, 1)) - 0.8).abs().max() < 0.2  # no place is spared
