"""PARSeq's augmentation: which operations, how often, how strong; and that the pixels are those of PIL."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from lmim_kedro.params import FinetuningParams, ModelParams
from lmim_kedro.views import color, filters
from lmim_kedro.views.abinet import AbinetAugmentation
from lmim_kedro.views.augmentations import finetuning_augmentation
from lmim_kedro.views.draws import UNUSED, Draws
from lmim_kedro.views.filters import gaussian_taps
from lmim_kedro.views.geometry import inverse_map
from lmim_kedro.views.parseq import (
    BEYOND,
    MOVING,
    OPERATIONS,
    PIXELS,
    SIGNED,
    ParseqAugmentation,
    draw_signed,
    draw_turns,
)

MANY = np.arange(16_000)


@pytest.fixture
def draws():
    return Draws("parseq", seed=2, epoch=0, index=MANY)


@pytest.fixture
def turns(draws):
    return draw_turns(draws)


@pytest.fixture
def pixels(draws, turns):
    return dict(zip(PIXELS, ParseqAugmentation().pixels(draws, turns), strict=True))


def maps_of(draws, turns, aspect):
    chosen = {name: turns[name] for name in MOVING}
    return ParseqAugmentation().geometry(draws, chosen, torch.full((len(draws),), aspect)).before


def alone(turns, name):
    """Crops whose only move is this one."""
    others = [turns[other] == UNUSED for other in MOVING if other != name]
    return np.flatnonzero((turns[name] != UNUSED) & np.all(others, axis=0))


def test_sixteen_operations_are_done_equally_often_three_of_them_picked_and_half_of_those_done(turns):
    assert len(OPERATIONS) == 16
    for name, its in turns.items():
        assert (its != UNUSED).mean() == pytest.approx(3 / 16 / 2, abs=0.01), name
    counts = sum((its != UNUSED).astype(int) for its in turns.values())
    assert np.bincount(counts) / len(MANY) == pytest.approx([1 / 8, 3 / 8, 3 / 8, 1 / 8], abs=0.015)


def test_picked_operations_come_at_each_of_three_turns_equally_often(turns):
    for name, its in turns.items():
        used = its[its != UNUSED]
        assert np.bincount(used, minlength=3) / len(used) == pytest.approx(np.full(3, 1 / 3), abs=0.04), name


@pytest.mark.parametrize(
    ("name", "strength"),
    [
        ("rotate", 15),
        ("shear_x", 0.45),
        ("shear_y", 0.1),
        ("translate_x", 0.05),
        ("translate_y", 0.15),
        ("color", 0.45),
        ("contrast", 0.45),
        ("brightness", 0.45),
    ],
)
def test_strengths_are_those_of_magnitude_five_to_either_side(draws, name, strength):
    values = draw_signed(draws, name)
    assert set(np.unique(values)) == {np.float32(-strength), np.float32(strength)}
    assert (values > 0).mean() == pytest.approx(0.5, abs=0.015)
    assert name in SIGNED


def test_fixed_strengths_are_those_of_magnitude_five(pixels):
    wanted = {"posterize": 64, "solarize": 128, "solarize_add": 55, "noise": 21}
    for name, value in wanted.items():
        assert set(pixels[name].values[:, 0]) == {np.float32(value)}, name
    assert np.array_equal(pixels["blur"].values[0], gaussian_taps(np.array([[2.0]]), radius=5)[0])
    assert set(pixels["solarize"].values[:, 1]) == {1.0}  # what is light is inverted
    for name in ("color", "contrast", "brightness"):
        assert set(pixels[name].values[:, 0]) == {np.float32(1.45), np.float32(0.55)}, name


def test_rotation_keeps_the_whole_crop_in_the_picture(draws, turns):
    for aspect in (1.0, 5.0):
        rotated = inverse_map(maps_of(draws, turns, aspect)[alone(turns, "rotate")])
        corners = torch.tensor([[0.0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]) @ rotated.transpose(1, 2)
        places = corners[..., :2] / corners[..., 2:]
        assert places.amin(1).abs().max() < 1e-3 and (places.amax(1) - 1).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("name", "row", "column", "entry"),
    [
        ("shear_x", 0, 1, 0.45 / 5),  # shares of the width per share of the height, in a crop five times as wide
        ("shear_y", 1, 0, 0.1 * 5),
        ("translate_x", 0, 2, 0.05),
        ("translate_y", 1, 2, 0.15),
    ],
)
def test_shears_and_shifts_are_measured_in_the_crops_own_pixels(draws, turns, name, row, column, entry):
    rows = alone(turns, name)
    wanted = torch.eye(3).repeat(len(rows), 1, 1)
    wanted[:, row, column] = torch.from_numpy(np.sign(draw_signed(draws, name)[rows])) * entry
    assert torch.allclose(maps_of(draws, turns, 5.0)[rows], wanted, atol=1e-6)


def test_shear_after_a_rotation_is_measured_on_the_grown_canvas():
    draws = Draws("parseq", seed=0, epoch=0, index=np.arange(1))
    none = np.full(1, UNUSED)
    aspect = 3.0
    for order in ((0, 1), (1, 0)):
        chosen = {**dict.fromkeys(MOVING, none), "rotate": np.array(order[:1]), "shear_x": np.array(order[1:])}
        both = maps_of(draws, chosen, aspect)
        rotated = maps_of(draws, {**chosen, "shear_x": none}, aspect)
        angle = np.deg2rad(15)
        canvas = (aspect * np.cos(angle) + np.sin(angle)) / (aspect * np.sin(angle) + np.cos(angle))
        shear = torch.eye(3).repeat(1, 1, 1)
        side = float(np.sign(draw_signed(draws, "shear_x")[0]))
        shear[:, 0, 1] = 0.45 * side / (canvas if order == (0, 1) else aspect)
        wanted = rotated @ shear if order == (0, 1) else shear @ rotated
        assert torch.allclose(both, wanted, atol=1e-5)


def test_what_comes_in_from_beyond_the_crop_is_gray():
    images = torch.full((400, 3, 32, 128), 255, dtype=torch.uint8)
    index = np.arange(400)
    turns = draw_turns(Draws("parseq", seed=0, epoch=0, index=index))
    only = [n for n in alone(turns, "translate_y") if all(turns[name][n] == UNUSED for name in PIXELS)]
    assert only
    views = ParseqAugmentation()(images, torch.full((400,), 4.0), seed=0, epoch=0, index=index)[only]
    assert ((views - BEYOND).abs() < 1e-4).sum(2).unique().tolist() == [4]  # 0.15 * 32 = 4.8 rows
    assert ((views - 1).abs() < 1e-4).sum(2).unique().tolist() == [27]


def test_a_crop_that_gets_nothing_stays_as_it_is_to_the_last_bit(crops):
    images, aspect, _ = crops
    index = np.arange(300)
    many, aspects = images[:1].expand(300, -1, -1, -1), aspect[:1].expand(300)
    turns = draw_turns(Draws("parseq", seed=0, epoch=0, index=index))
    untouched = np.all([its == UNUSED for its in turns.values()], axis=0)
    views = ParseqAugmentation()(many, aspects, seed=0, epoch=0, index=index)
    assert untouched.sum() > 15
    assert torch.equal(views[untouched], many[untouched].float() / 255)
    touched = (views[~untouched] - many[~untouched].float() / 255).abs().mean((1, 2, 3)) > 1e-4
    assert touched.float().mean() > 0.97  # to stretch what fills the range already changes nothing


NONE = torch.empty(1, 0)


@pytest.mark.parametrize(
    ("ours", "pil", "difference"),
    [
        (lambda x: color.equalize(x, NONE), ImageOps.equalize, 0.01),
        (lambda x: color.invert(x, NONE), ImageOps.invert, 0.01),
        (lambda x: color.posterize(x, torch.tensor([[64.0]])), lambda p: ImageOps.posterize(p, 2), 0.01),
        (lambda x: color.solarize(x, torch.tensor([[128.0, 1]])), lambda p: ImageOps.solarize(p, 128), 0.01),
        (lambda x: color.auto_contrast(x, NONE), ImageOps.autocontrast, 1.01),  # PIL rounds down
        (
            lambda x: color.contrast_about_mean(x, torch.tensor([[1.45]])),
            lambda p: ImageEnhance.Contrast(p).enhance(1.45),
            1.5,  # and has whole numbers for the mean
        ),
        (lambda x: color.saturation(x, torch.tensor([[0.55]])), lambda p: ImageEnhance.Color(p).enhance(0.55), 1.5),
    ],
    ids=["equalize", "invert", "posterize", "solarize", "auto_contrast", "contrast", "color"],
)
def test_pixels_are_those_of_pil(ours, pil, difference):
    random = np.random.default_rng(0)
    image = (random.random((32, 128, 3)) ** 2 * [200, 90, 230] + 20).astype(np.uint8)
    wanted = np.asarray(pil(Image.fromarray(image))).astype(int).transpose(2, 0, 1)
    found = ours(torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 255)[0].numpy() * 255
    assert np.abs(found - wanted).max() <= difference


def test_solarize_add_lightens_the_dark_half():
    values = torch.tensor([0, 100, 127, 128, 255.0]).view(1, 1, 1, 5).expand(1, 3, 1, 5) / 255
    found = color.solarize_add(values.clone(), torch.tensor([[55.0]]))[0, 0, 0] * 255
    assert found.numpy() == pytest.approx([55, 155, 182, 128, 255], abs=1e-3)


def test_one_color_has_nothing_to_stretch_or_even_out():
    flat = torch.full((1, 3, 32, 128), 77 / 255)
    for operation in (color.auto_contrast, color.equalize):
        assert torch.allclose(operation(flat.clone(), NONE), flat)


def test_noise_is_a_poisson_number_to_either_side_the_same_in_all_channels():
    values = torch.cat([torch.full((20, 1), 21.0), torch.from_numpy(np.random.default_rng(1).random((20, 2)))], 1)
    noisy = filters.poisson_noise(torch.full((20, 3, 32, 128), 0.5), values.float())
    added = (noisy - 0.5) * 255
    assert torch.allclose(added[:, :1].expand_as(added), added, atol=1e-3)
    number = added[:, 0].abs().round().flatten().numpy()
    assert np.abs(added[:, 0].abs().flatten().numpy() - number).max() < 1e-3
    assert (added[:, 0] > 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
    assert number.mean() == pytest.approx(21, abs=0.1) and number.var() == pytest.approx(21, abs=0.7)
    shares = [0.01, 0.1, 0.5, 0.9, 0.99]
    wanted = np.quantile(np.random.default_rng(0).poisson(21, 200_000), shares)
    assert np.abs(np.quantile(number, shares) - wanted).max() <= 1


def test_augmentation_is_chosen_by_its_name():
    found = [
        type(finetuning_augmentation(FinetuningParams.model_construct(augmentation=name), ModelParams()))
        for name in ("abinet", "parseq", "none")
    ]
    assert found == [AbinetAugmentation, ParseqAugmentation, type(None)]
