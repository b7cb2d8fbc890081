"""ABINet's augmentation, for a whole batch at once."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.params import JitterParams
from lmim_kedro.views import filters, geometry
from lmim_kedro.views.draws import UNUSED, Draws, Operation, apply_in_turn
from lmim_kedro.views.guidance import jitter_operations, to_unit
from lmim_kedro.views.policy import draw_jitter

GEOMETRY, DETERIORATION = 0.5, 0.25  # probabilities; JITTER has its own
JITTER = JitterParams(probability=0.25, brightness=0.5, contrast=0.5, saturation=0.5, hue=0.1)
DEGREES = 45.0
SCALE = (0.5, 2.0)
SHEAR = (45.0, 15.0)  # largest shear in degrees, along rows and along columns
DISTORTION = 0.5  # twice the largest move of a corner, in shares of the size
NOISE_VARIANCE = 20.0  # largest variance of the noise, in levels of 0-255
MOTION = 6.0
HALVINGS = 4
KINDS = ("rotation", "affine", "perspective")


class AbinetAugmentation:
    """Applies geometry (p 0.5), deterioration (p 0.25) and color jitter (p 0.25) to each crop.

    Geometry is a rotation, an affine map or a perspective; deterioration is noise, motion blur and lost resolution, in
    random order. Angles and shears are symmetric, Beta(4, 4); noise, motion and distortion are mostly weak, Beta(1, 4).
    The draws depend on (seed, epoch, crop index) alone; the size that augmentations are built with changes nothing.

    Example:
        >>> crops, given = torch.zeros(2, 3, 32, 128, dtype=torch.uint8), {"seed": 0, "epoch": 0, "index": np.arange(2)}
        >>> AbinetAugmentation()(crops, torch.full((2,), 4.0), **given).shape
        torch.Size([2, 3, 32, 128])
    """

    def __init__(self, height: int = 32, width: int = 128) -> None:
        pass

    def __call__(self, images: Tensor, aspect: Tensor, *, seed: int, epoch: int, index: np.ndarray) -> Tensor:
        """Augment each crop, with the arguments and result of GuidanceViews."""
        draws = Draws("reading", seed=seed, epoch=epoch, index=index)
        kinds = draw_kinds(draws)
        crops = self.geometry(draws, kinds, aspect.cpu()).to(images.device).sample(to_unit(images))
        return apply_in_turn(crops, self.pixels(draws, kinds))

    def geometry(self, draws: Draws, kinds: np.ndarray, aspect: Tensor) -> geometry.Geometry:
        """Where the pixels of each augmented crop lie in the crop; kinds (B,) from `draw_kinds`, aspect (B,)."""
        given = [
            DEGREES * draws.symmetric_beta("rotation"),
            np.concatenate([most * draws.symmetric_beta(f"affine {n}") for n, most in enumerate((DEGREES, *SHEAR))], 1),
            DISTORTION / 2 * draws.asymmetric_beta("perspective", 8),
        ]
        turned, sheared, moved = map(torch.from_numpy, given)
        maps = [
            geometry.linear_map(geometry.rotation(turned[:, 0]), aspect),
            geometry.linear_map(_shear(sheared), aspect),
            _shrink_into(geometry.inwards(moved)),
        ]
        its = kinds[:, None]
        turns = np.where(its == np.arange(len(KINDS)), its, UNUSED)  # a crop gets one of them: any turn will do
        return geometry.Geometry(geometry.compose(maps, turns, aspect))

    def pixels(self, draws: Draws, kinds: np.ndarray) -> list[Operation]:
        """Operations on pixels: the loss of detail of a small scale, then deterioration, then jitter."""
        scale = draws.between("affine scale", *SCALE)
        shrunk = np.where((kinds == KINDS.index("affine")) & (scale[:, 0] < 1), 0, UNUSED)
        # ABINet's canvas follows the scale, so the text stays as large: only what a smaller canvas cannot hold is lost.
        taps = filters.gaussian_taps(0.5 * np.sqrt(np.maximum(1 / scale**2 - 1, 0)))
        operations = [Operation(filters.gaussian_blur, taps, shrunk, range(1))]

        worse = draws.happens("deterioration", DETERIORATION)
        turns = np.where(worse[:, None], 1 + draws.order("deterioration order", 3), UNUSED)
        variance = np.maximum(np.floor(NOISE_VARIANCE * draws.asymmetric_beta("noise variance")), 1)
        noise = np.concatenate([np.sqrt(variance), draws.uniform("noise keys", 2)], 1)
        operations.append(Operation(filters.gaussian_noise, noise, turns[:, 0], range(1, 4)))

        length = np.maximum(np.floor(MOTION * draws.asymmetric_beta("motion length")[:, 0]), 1)
        angle = np.trunc(draws.between("motion angle", -90, 90)[:, 0])
        stroke = np.where(length > 1, turns[:, 1], UNUSED)
        kernels = filters.motion_kernels(length, angle)
        operations.append(Operation(filters.motion_blur, kernels, stroke, range(1, 4)))

        halvings = np.rint(draws.between("halvings", 0, HALVINGS)[:, 0])
        none = np.empty((len(draws), 0), np.float32)
        for times in range(2, HALVINGS + 1):
            lose = partial(filters.lose_resolution, halvings=times)
            its = np.where(halvings == times, turns[:, 2], UNUSED)
            operations.append(Operation(lose, none, its, range(1, 4)))
        return operations + jitter_operations(*draw_jitter(draws, JITTER), 4)


def draw_kinds(draws: Draws) -> np.ndarray:
    """The place (B,) in KINDS of each crop's geometry, each as likely; UNUSED for crops without geometry."""
    return np.where(draws.happens("geometry", GEOMETRY), draws.whole_number("kind", 0, len(KINDS) - 1), UNUSED)


def _shear(degrees: Tensor) -> Tensor:
    """Matrices (B, 2, 2) that shear by degrees[:, 1] along rows and [:, 2] along columns, then rotate by [:, 0]."""
    along, down = torch.tan(torch.deg2rad(degrees[:, 1])), torch.tan(torch.deg2rad(degrees[:, 2]))
    one = torch.ones_like(along)
    rows = torch.stack([one, -along, -down, one + along * down], 1).view(-1, 2, 2)
    return (geometry.rotation(degrees[:, 0])[:, :, :, None] * rows[:, None]).sum(2)


def _shrink_into(corners: Tensor) -> Tensor:
    """The maps (B, 3, 3) that draw crops into quadrilaterals (B, 4, 2), on a canvas that just holds them."""
    low, high = corners.amin(1), corners.amax(1)
    box = geometry.crop_map(low[:, 0], 1 - high[:, 0], low[:, 1], 1 - high[:, 1])
    return geometry.product(geometry.inverse_map(geometry.quadrilateral_map(corners)), box)
