"""The augmentation of fine-tuning's preset `strong`: PARSeq's RandAugment, for a whole batch at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.views import color, filters
from lmim_kedro.views.draws import UNUSED, Draws, Operation, apply_in_turn, close_ranks, move
from lmim_kedro.views.geometry import Geometry, compose, grown_canvas, identity_map, linear_map, rotation, slanted_map
from lmim_kedro.views.guidance import to_unit

LAYERS = 3
"""Operations that are picked for each crop, none of them twice."""

PROBABILITY = 0.5
"""Of a picked operation: it is done or left out."""

MAGNITUDE = 0.5
"""Of the largest strengths; PARSeq says 5 of 10, and has no other."""

SIGNED = {
    "rotate": 30 * MAGNITUDE,  # degrees; the canvas grows to fit
    "shear_x": 0.9 * MAGNITUDE,  # pixels per pixel
    "shear_y": 0.2 * MAGNITUDE,
    "translate_x": 0.1 * MAGNITUDE,  # share of the width
    "translate_y": 0.3 * MAGNITUDE,  # share of the height
    "color": 0.9 * MAGNITUDE,  # of these three, what is added to a factor of 1
    "contrast": 0.9 * MAGNITUDE,
    "brightness": 0.9 * MAGNITUDE,
}
"""Operations with a strength to either side, half of the crops each."""

FIXED = {
    "auto_contrast": None,
    "equalize": None,
    "invert": None,
    "posterize": 2.0 ** (8 - (4 - 4 * MAGNITUDE)),  # two of eight bits stay
    "solarize": 256 - 256 * MAGNITUDE,  # of 255; what is at least as light is inverted
    "solarize_add": np.floor(110 * MAGNITUDE),  # of 255; what is darker than the middle gets as much lighter
    "blur": 4 * MAGNITUDE,  # sigma, pixels
    "noise": 40 * MAGNITUDE + 1,  # mean of the Poisson number, of 255; PARSeq makes it odd
}
"""Operations with one strength, or none."""

OPERATIONS = (*SIGNED, *FIXED)
MOVING = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
BEYOND = 128 / 255
"""Gray of what comes into the picture from beyond the crop."""

_BLUR_RADIUS = 5


class ParseqAugmentation:
    """Three of sixteen operations, each done with p 0.5, in random order and at half of its largest strength.

    The operations are those of timm's RandAugment that grow with magnitude, without sharpness, and blur and noise
    (Bautista and Atienza, ECCV 2022; their released code). What a crop gets is a function of (seed, epoch, crop index),
    as in GuidanceViews. It differs from PARSeq's in three things: geometry comes before color (each keeps its own
    order); blur and noise act on the pixels of the resized crop, since the size it came in is not known here (PARSeq's
    are as strong in crops of 32 x 128, and weaker in larger ones); resampling is bilinear.

    The size of the crops (height and width, which every augmentation is built with) changes nothing.
    """

    def __init__(self, height: int = 32, width: int = 128) -> None:
        pass

    def __call__(self, images: Tensor, aspect: Tensor, *, seed: int, epoch: int, index: np.ndarray) -> Tensor:
        """Augment each crop; arguments and result as those of GuidanceViews."""
        draws = Draws("parseq", seed=seed, epoch=epoch, index=index)
        turns = draw_turns(draws)
        views = to_unit(images)
        views = views.clone() if views is images else views
        rows = np.flatnonzero(np.any([turns[name] != UNUSED for name in MOVING], axis=0))
        if len(rows):  # less than half of the crops: the others need not be sampled
            (here,) = move([rows], views.device)
            its_aspect = aspect.to(views.device, non_blocking=True).index_select(0, here)
            moved = Draws("parseq", seed=seed, epoch=epoch, index=index[rows])
            geometry = self.geometry(moved, {name: turns[name][rows] for name in MOVING}, its_aspect)
            views.index_copy_(0, here, geometry.sample(views.index_select(0, here), BEYOND))
        return apply_in_turn(views, self.pixels(draws, turns))

    def geometry(self, draws: Draws, turns: dict[str, np.ndarray], aspect: Tensor) -> Geometry:
        """Where each augmented crop's pixels lie in the crop."""
        rotated_before = [
            ((turns["rotate"] != UNUSED) & (turns["rotate"] < turns[name])).astype(np.float32) for name in MOVING[1:]
        ]
        given = move([*(draw_signed(draws, name) for name in MOVING), *rotated_before], aspect.device)
        values, after_rotation = given[: len(MOVING)], given[len(MOVING) :]
        turned = rotation(values[0])
        width, height = grown_canvas(turned, aspect).unbind(1)
        maps = [identity_map(aspect), linear_map(turned, aspect)]
        for name, value, after in zip(MOVING[1:], values[1:], after_rotation, strict=True):
            maps.append(slanted_map(value, name, torch.where(after > 0, width / height, aspect)))
        order = np.stack([np.full(len(aspect), UNUSED), *(turns[name] for name in MOVING)], 1)
        return Geometry(compose(torch.stack(maps, 1), order))

    def pixels(self, draws: Draws, turns: dict[str, np.ndarray]) -> list[Operation]:
        """What is done to the pixels."""
        values = {name: 1 + draw_signed(draws, name)[:, None] for name in SIGNED if name not in MOVING}
        for name, value in FIXED.items():
            values[name] = np.full((len(draws), 0 if value is None else 1), value or 0, np.float32)
        values["solarize"] = np.concatenate([values["solarize"], np.ones((len(draws), 1), np.float32)], 1)
        values["noise"] = np.concatenate([values["noise"], draws.uniform("noise keys", 2)], 1)
        names = list(PIXELS)
        order = close_ranks(np.stack([turns[name] for name in names], 1))
        return [Operation(PIXELS[name], values[name], order[:, place]) for place, name in enumerate(names)]


def draw_turns(draws: Draws) -> dict[str, np.ndarray]:
    """(B,) per operation: at which of its turns a crop gets it; UNUSED where it is not picked, or left out."""
    turns = draws.some_of("operations", len(OPERATIONS), LAYERS, LAYERS)
    done = draws.uniform("done", len(OPERATIONS)) < PROBABILITY
    return {name: np.where(done[:, place], turns[:, place], UNUSED) for place, name in enumerate(OPERATIONS)}


def draw_signed(draws: Draws, name: str) -> np.ndarray:
    """(B,) float32: the strength of an operation, to one side or the other."""
    stream = "colour" if name == "color" else name  # a stream's name is part of its seed: renamed, it draws otherwise
    return np.where(draws.happens(f"{stream} side", 0.5), -1, 1).astype(np.float32) * np.float32(SIGNED[name])


PIXELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "color": color.saturation,
    "contrast": color.contrast_about_mean,
    "brightness": color.brightness,
    "auto_contrast": color.auto_contrast,
    "equalize": color.equalize,
    "invert": color.invert,
    "posterize": color.posterize,
    "solarize": color.solarize,
    "solarize_add": color.solarize_add,
    "blur": partial(filters.gaussian_blur, radius=_BLUR_RADIUS),
    "noise": filters.poisson_noise,
}
