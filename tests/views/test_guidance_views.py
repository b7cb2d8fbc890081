"""Guidance views as a whole: a function of seed, epoch and crop index, and of nothing else."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lmim_kedro.params import JitterParams, ViewPreset
from lmim_kedro.views import color
from lmim_kedro.views.abinet import AbinetAugmentation
from lmim_kedro.views.draws import UNUSED
from lmim_kedro.views.guidance import GuidanceViews
from lmim_kedro.views.parseq import ParseqAugmentation

READING = {"abinet": AbinetAugmentation, "parseq": ParseqAugmentation}
KINDS = ["weak", "medium", "strong", *READING]


@pytest.fixture(params=KINDS)
def draw(request, presets):
    return READING[request.param]() if request.param in READING else GuidanceViews(presets[request.param])


def test_views_are_finite_floats_between_zero_and_one(draw, crops):
    images, aspect, index = crops
    views = draw(images, aspect, seed=0, epoch=0, index=index)
    assert views.shape == images.shape and views.dtype == torch.float32
    assert views.isfinite().all() and views.min() >= 0 and views.max() <= 1


def test_crops_are_not_changed_and_floats_do_as_well(draw, crops):
    images, aspect, index = crops
    floats = images.float() / 255
    before = floats.clone()
    views = draw(floats, aspect, seed=0, epoch=0, index=index)
    assert torch.equal(floats, before)
    assert torch.equal(views, draw(images, aspect, seed=0, epoch=0, index=index))


def test_same_seed_epoch_and_crop_give_the_same_view_and_others_another(draw, crops):
    images, aspect, index = crops
    view = draw(images, aspect, seed=0, epoch=1, index=index)
    assert torch.equal(view, draw(images, aspect, seed=0, epoch=1, index=index))
    for other in ({"seed": 1, "epoch": 1, "index": index}, {"seed": 0, "epoch": 2, "index": index}):
        assert not torch.allclose(view, draw(images, aspect, **other), atol=1e-2)
    assert not torch.allclose(view, draw(images, aspect, seed=0, epoch=1, index=index + 50), atol=1e-2)


def test_a_view_does_not_depend_on_the_batch_it_is_drawn_in(draw, crops):
    images, aspect, index = crops
    together = draw(images, aspect, seed=4, epoch=0, index=index)
    order = np.random.default_rng(0).permutation(len(index))
    shuffled = draw(images[order], aspect[order], seed=4, epoch=0, index=index[order])
    assert torch.equal(together[order], shuffled)
    for place in (0, 7, 23):
        one = slice(place, place + 1)
        assert torch.equal(together[one], draw(images[one], aspect[one], seed=4, epoch=0, index=index[one]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_view_does_not_depend_on_the_device_and_the_host_never_waits(draw, crops):
    images, aspect, index = crops
    here = draw(images, aspect, seed=4, epoch=0, index=index)
    images, aspect = images.cuda(), aspect.cuda()
    draw(images, aspect, seed=4, epoch=0, index=index)
    torch.cuda.set_sync_debug_mode("error")
    try:
        there = draw(images, aspect, seed=4, epoch=0, index=index)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (there.cpu() - here).abs().gt(1e-3).float().mean() < 1e-3  # a pixel at solarize's threshold may flip


def test_nothing_picked_gives_the_crop_back(crops):
    images, aspect, index = crops
    wanted = images.float() / 255
    assert torch.equal(GuidanceViews(ViewPreset(pick=(0, 0)))(images, aspect, seed=0, epoch=0, index=index), wanted)
    unpicked = ViewPreset(
        pick=(0, 0), rotate=15, piecewise_affine=(0.03, 0.05), contrast=(0.5, 1.0), solarize=(32, 128)
    )
    views = GuidanceViews(unpicked)(images, aspect, seed=0, epoch=0, index=index)
    assert torch.allclose(views, wanted, atol=1e-4)


@pytest.mark.parametrize(
    "operation",
    [
        {"contrast": (0.5, 0.6)},
        {"blur": (1.0, 1.5)},
        {"crop_vertical": 0.3},
        {"crop_horizontal": 0.3},
        {"sharpen": ((0.3, 0.5), (0.0, 0.5))},
        {"rotate": 15},
        {"piecewise_affine": (0.03, 0.05)},
        {"perspective": (0.05, 0.1)},
        {"solarize": (32, 128)},
        {"grayscale_blend": (0.5, 1.0)},
    ],
    ids=lambda operation: next(iter(operation)),
)
def test_each_operation_alone_changes_every_crop(crops, operation):
    images, aspect, index = crops
    preset = ViewPreset.model_validate({"pick": (1, 1), **operation})
    views = GuidanceViews(preset)(images, aspect, seed=0, epoch=0, index=index)
    assert (views - images.float() / 255).abs().mean((1, 2, 3)).min() > 1e-3


@pytest.mark.parametrize(
    ("operation", "corners"),
    [
        ({"crop_vertical": 0.3}, lambda top, bottom: [0, top, 1, top, 1, 1 - bottom, 0, 1 - bottom]),
        ({"crop_horizontal": 0.3}, lambda left, right: [left, 0, 1 - right, 0, 1 - right, 1, left, 1]),
        ({"perspective": (0.05, 0.1)}, lambda a, b, c, d, e, f, g, h: [a, b, 1 - c, d, 1 - e, 1 - f, g, 1 - h]),
    ],
)
def test_corners_of_a_view_show_the_places_of_the_crop_that_were_drawn(crops, operation, corners):
    _, aspect, index = crops
    draw = GuidanceViews(ViewPreset.model_validate({"pick": (1, 1), **operation}))
    drawn = draw.policy.draw(seed=0, epoch=0, index=index)
    seen = torch.tensor([[0.0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]) @ draw.geometry(drawn, aspect).before.mT
    (values,) = drawn.values.values()
    for places, row in zip(seen[..., :2] / seen[..., 2:], values.tolist(), strict=True):
        assert places.flatten().tolist() == pytest.approx(corners(*row), abs=1e-5)


def test_what_comes_before_the_warp_is_done_to_the_crop_before_it(crops):
    _, aspect, index = crops
    draw = GuidanceViews(ViewPreset(pick=(2, 2), crop_vertical=0.3, piecewise_affine=(0.03, 0.05)))
    drawn = draw.policy.draw(seed=0, epoch=0, index=index)
    geometry, same = draw.geometry(drawn, aspect), torch.eye(3)
    cut_first = drawn.turns["crop_vertical"] < drawn.turns["piecewise_affine"]
    assert 5 < cut_first.sum() < 19
    for place, first in enumerate(cut_first):
        assert torch.equal(geometry.before[place], same) != first
        assert torch.equal(geometry.after[place], same) == first


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("brightness", color.brightness),
        ("contrast", color.contrast_about_mean),
        ("saturation", color.saturation),
        ("hue", color.hue),
    ],
)
def test_each_part_of_the_jitter_does_what_it_is_called(crops, name, function):
    images, aspect, index = crops
    images = images // 2  # so that the mean of a crop is not the middle of the range
    none = {"probability": 1, "brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    draw = GuidanceViews(ViewPreset(pick=(0, 0), jitter=JitterParams(**{**none, name: 0.3})))
    drawn = draw.policy.draw(seed=0, epoch=0, index=index)
    wanted = function(images.float() / 255, torch.from_numpy(drawn.jitter_values[name]))
    assert torch.allclose(draw(images, aspect, seed=0, epoch=0, index=index), wanted, atol=1e-4)


def test_jitter_comes_after_all_that_was_picked_and_gray_after_the_jitter(presets):
    draw = GuidanceViews(presets["medium"])
    operations = draw.colors(draw.policy.draw(seed=0, epoch=0, index=np.arange(500)))
    turns = np.stack([operation.turns for operation in operations])
    picked, jitter, gray = turns[:-5], turns[-5:-1], turns[-1]
    jittered, grayed = (jitter != UNUSED).any(0), gray != UNUSED
    assert jittered.any() and grayed.any()
    assert (picked.max(0) < jitter.min(0))[jittered].all()
    assert (jitter.max(0) < gray)[grayed].all()


def test_color_operations_act_in_the_order_that_was_drawn(crops):
    images, aspect, index = crops
    preset = ViewPreset(pick=(2, 2), contrast=(0.5, 0.5), solarize=(64, 64))
    draw = GuidanceViews(preset)
    drawn = draw.policy.draw(seed=0, epoch=0, index=index)
    first = drawn.turns["contrast"] < drawn.turns["solarize"]
    assert first.any() and not first.all()
    views = draw(images, aspect, seed=0, epoch=0, index=index)

    def contrast(x):
        return 127 / 255 + 0.5 * (x - 127 / 255)

    for place in range(len(index)):
        above = bool(drawn.values["solarize"][place, 1])

        def solarize(x, above=above):
            return torch.where((x >= 64 / 255) == above, 1 - x, x)

        image = images[place].float() / 255
        wanted = solarize(contrast(image)) if first[place] else contrast(solarize(image))
        assert (views[place] - wanted).abs().gt(1e-5).float().mean() < 0.01


def test_gray_comes_last_and_makes_all_channels_equal(crops):
    images, aspect, index = crops
    preset = ViewPreset(pick=(0, 0), jitter=JitterParams(probability=1), grayscale_probability=1)
    views = GuidanceViews(preset)(images, aspect, seed=0, epoch=0, index=index)
    assert torch.allclose(views[:, 0], views[:, 1], atol=1e-6) and torch.allclose(views[:, 0], views[:, 2], atol=1e-6)


class CountedOperations(TorchDispatchMode):
    """Counts what torch is asked to do."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_no_operation_is_repeated_per_crop(presets):
    counts = []
    for crops in (32, 128):
        images = torch.randint(0, 256, (crops, 3, 32, 128), dtype=torch.uint8)
        with CountedOperations() as operations:
            GuidanceViews(presets["medium"])(images, torch.full((crops,), 3.0), seed=0, epoch=0, index=np.arange(crops))
        counts.append(operations.count)
    assert counts[1] <= 1.1 * counts[0], f"{counts} operations for 32 and 128 crops"
