"""The augmentation of fine-tuning: ABINet's, for a whole batch at once, drawn anew for each crop and epoch."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.params import JitterParams
from lmim_kedro.views import filters
from lmim_kedro.views.draws import UNUSED, Draws, Operation, apply_in_turn, move
from lmim_kedro.views.geometry import (
    Geometry,
    compose,
    crop_map,
    identity_map,
    inverse_map,
    inwards,
    linear_map,
    product,
    quadrilateral_map,
    rotation,
)
from lmim_kedro.views.guidance import jitter_operations, to_unit
from lmim_kedro.views.policy import draw_jitter

GEOMETRY, DETERIORATION = 0.5, 0.25
"""Probabilities; that of color jitter stands with its strengths."""

JITTER = JitterParams(probability=0.25, brightness=0.5, contrast=0.5, saturation=0.5, hue=0.1)

DEGREES = 45.0
SCALE = (0.5, 2.0)
SHEAR = (45.0, 15.0)
"""Degrees, along the rows and along the columns."""

DISTORTION = 0.5
"""A corner moves inwards by up to half of this, in shares of the size."""

NOISE_VARIANCE = 20.0
"""Of values 0-255."""

MOTION = 6.0
HALVINGS = 4

KINDS = ("rotation", "affine", "perspective")


class AbinetAugmentation:
    """Geometry (p 0.5: rotation, affine map or perspective), deterioration (p 0.25: noise, motion blur and lost
    resolution, in random order) and color jitter (p 0.25).

    Angles and shears are symmetric, Beta(4, 4); noise, motion and distortion are mostly weak, Beta(1, 4). What a crop
    gets is a function of (seed, epoch, crop index), as in GuidanceViews.

    The size of the crops (height and width, which every augmentation is built with) changes nothing.
    """

    def __init__(self, height: int = 32, width: int = 128) -> None:
        pass

    def __call__(self, images: Tensor, aspect: Tensor, *, seed: int, epoch: int, index: np.ndarray) -> Tensor:
        """Augment each crop; arguments and result as those of GuidanceViews."""
        draws = Draws("reading", seed=seed, epoch=epoch, index=index)
        kinds = draw_kinds(draws)
        crops = self.geometry(draws, kinds, aspect.to(images.device, non_blocking=True)).sample(to_unit(images))
        return apply_in_turn(crops, self.pixels(draws, kinds))

    def geometry(self, draws: Draws, kinds: np.ndarray, aspect: Tensor) -> Geometry:
        """Where each augmented crop's pixels lie in the crop."""
        given = [
            DEGREES * draws.symmetric_beta("rotation"),
            np.concatenate([most * draws.symmetric_beta(f"affine {n}") for n, most in enumerate((DEGREES, *SHEAR))], 1),
            DISTORTION / 2 * draws.asymmetric_beta("perspective", 8),
        ]
        turned, sheared, moved = move(given, aspect.device)
        maps = [
            identity_map(aspect),
            linear_map(rotation(turned[:, 0]), aspect),
            linear_map(_shear(sheared), aspect),
            _shrink_into(inwards(moved)),
        ]
        turns = np.where(kinds[:, None] == np.arange(-1, len(KINDS)), 0, UNUSED)
        turns[:, 0] = UNUSED
        return Geometry(compose(torch.stack(maps, 1), turns))

    def pixels(self, draws: Draws, kinds: np.ndarray) -> list[Operation]:
        """What is done to the pixels: the loss of detail of a small scale, then deterioration, then jitter."""
        scale = draws.between("affine scale", *SCALE)
        shrunk = np.where((kinds == KINDS.index("affine")) & (scale[:, 0] < 1), 0, UNUSED)
        # ABINet's canvas follows the scale, so the text stays as large: only what a smaller canvas cannot hold is lost.
        operations = [Operation(filters.gaussian_blur, 0.5 * np.sqrt(np.maximum(1 / scale**2 - 1, 0)), shrunk)]

        worse = draws.happens("deterioration", DETERIORATION)
        turns = np.where(worse[:, None], 1 + draws.order("deterioration order", 3), UNUSED)
        variance = np.maximum(np.floor(NOISE_VARIANCE * draws.asymmetric_beta("noise variance")), 1)
        noise = np.concatenate([np.sqrt(variance), draws.uniform("noise keys", 2)], 1)
        operations.append(Operation(filters.gaussian_noise, noise, turns[:, 0]))

        length = np.maximum(np.floor(MOTION * draws.asymmetric_beta("motion length")[:, 0]), 1)
        angle = np.trunc(draws.between("motion angle", -90, 90)[:, 0])
        stroke = np.where(length > 1, turns[:, 1], UNUSED)
        operations.append(Operation(filters.motion_blur, filters.motion_kernels(length, angle), stroke))

        halvings = np.rint(draws.between("halvings", 0, HALVINGS)[:, 0])
        none = np.empty((len(draws), 0), np.float32)
        for times in range(2, HALVINGS + 1):
            lose = partial(_lose_resolution, halvings=times)
            operations.append(Operation(lose, none, np.where(halvings == times, turns[:, 2], UNUSED)))
        return operations + jitter_operations(*draw_jitter(draws, JITTER), 4)


def draw_kinds(draws: Draws) -> np.ndarray:
    """(B,) the number in KINDS of each crop's geometry, a third each; UNUSED for a crop without."""
    return np.where(draws.happens("geometry", GEOMETRY), draws.whole_number("kind", 0, len(KINDS) - 1), UNUSED)


def _shear(degrees: Tensor) -> Tensor:
    """Turn by the first of degrees (B, 3) after shearing by the second along rows and the third along columns."""
    along, down = torch.tan(torch.deg2rad(degrees[:, 1])), torch.tan(torch.deg2rad(degrees[:, 2]))
    one = torch.ones_like(along)
    rows = torch.stack([one, -along, -down, one + along * down], 1).view(-1, 2, 2)
    return (rotation(degrees[:, 0])[:, :, :, None] * rows[:, None]).sum(2)


def _shrink_into(corners: Tensor) -> Tensor:
    """The crop drawn into a quadrilateral (B, 4, 2), on the canvas that just holds it."""
    low, high = corners.amin(1), corners.amax(1)
    box = crop_map(low[:, 0], 1 - high[:, 0], low[:, 1], 1 - high[:, 1])
    return product(inverse_map(quadrilateral_map(corners)), box)


def _lose_resolution(images: Tensor, values: Tensor, halvings: int) -> Tensor:
    return filters.lose_resolution(images, halvings)
