"""The reader's augmentation: ABINet's, drawn anew for each crop (the released code fixes its kind once per run)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lmim_kedro.crops.random import derive_seed
from lmim_kedro.params import JitterParams
from lmim_kedro.views import geometry
from lmim_kedro.views.draws import Draws, to_device
from lmim_kedro.views.guidance import as_floats, draw_jitter
from lmim_kedro.views.slots import Operation, apply_in_order

GEOMETRY, DETERIORATION = 0.5, 0.25  # probabilities
DEGREES, SCALE, SHEAR, DISTORTION = 45.0, (0.5, 2.0), (45.0, 15.0), 0.5
NOISE_VARIANCE, MOTION_DEGREES, RESCALE = 20.0, 6.0, 4.0
JITTER = JitterParams(probability=0.25, brightness=0.5, contrast=0.5, saturation=0.5, hue=0.1)
KERNEL = 5  # pixels: the longest motion blur
BASE = (128, 512)  # size that rescaling starts from


class ReadingAugmentation:
    """Geometry (p 0.5), deterioration (p 0.25) and colour jitter (p 0.25) for fine-tuning.

    Geometry is one of rotation, affine map or perspective; deterioration is Gaussian noise, motion blur and loss of
    resolution, in random order. Angles and shears are Beta(4, 4) about zero, strengths Beta(1, 4).

    Args:
        height, width: of the crops, pixels.
    """

    def __init__(self, height: int = 32, width: int = 128) -> None:
        self.height, self.width = height, width

    def __call__(self, images: Tensor, aspect: Tensor, *, seed: int, epoch: int, index: np.ndarray) -> Tensor:
        """(B, 3, H, W) uint8 or floats in [0, 1] -> floats in [0, 1]; arguments as in GuidanceViews."""
        draws = Draws(96, seed=seed, stream="reading augmentation", epoch=epoch, index=index)
        view = as_floats(images)
        matrix = self.matrices(draws, np.asarray(aspect.cpu(), np.float64))
        moved = np.flatnonzero((matrix != np.eye(3)).any((1, 2)))
        if len(moved):
            where = to_device(moved, view)
            none = to_device(geometry.identity(len(moved)), view)
            grid = geometry.sampling_grid(self.height, self.width, to_device(matrix[moved], view), none)
            view.index_copy_(0, where, geometry.sample(view.index_select(0, where), grid))
        view = apply_in_order(view, *self._deterioration(draws, seed, epoch, index))
        return apply_in_order(view, *draw_jitter(draws, JITTER))

    def matrices(self, draws: Draws, aspect: np.ndarray) -> np.ndarray:
        """(B, 3, 3) where pixels are read; the identity for crops without geometry."""
        batch = len(aspect)
        applied, kind = draws.unit() < GEOMETRY, np.floor(draws.between(0, 3))
        degrees = draws.peaked(DEGREES)
        scale = draws.between(*SCALE)
        shear_x, shear_y = draws.peaked(SHEAR[0]), draws.peaked(SHEAR[1])
        shift = draws.falling(DISTORTION / 2, 8).reshape(batch, 4, 2)
        choices = (
            geometry.rotate(degrees, aspect),
            geometry.affine(degrees, scale, shear_x, shear_y, aspect),
            shrunk_into_quad(geometry.inward_corners(shift)),
        )
        matrix = geometry.identity(batch)
        for number, choice in enumerate(choices):
            chosen = applied & (kind == number)
            matrix[chosen] = choice[chosen]
        return matrix

    def _deterioration(
        self, draws: Draws, seed: int, epoch: int, index: np.ndarray
    ) -> tuple[list[Operation], np.ndarray]:
        applied = draws.unit() < DETERIORATION
        variance = np.maximum(np.floor(draws.falling(NOISE_VARIANCE)), 1)
        length = np.maximum(np.floor(draws.falling(MOTION_DEGREES)), 1)
        angle = draws.between(-90, 90)
        factor = np.rint(draws.between(0, RESCALE))
        field = np.zeros((len(index), 3, self.height, self.width), np.float32)
        kernel = np.zeros((len(index), KERNEL, KERNEL), np.float32)
        for row in np.flatnonzero(applied):
            key = derive_seed(seed, "reading noise", epoch * 2**40 + int(index[row]))
            random = np.random.Generator(np.random.Philox(key=key))
            field[row] = random.standard_normal(field.shape[1:], dtype=np.float32) * np.sqrt(variance[row]) / 255
            kernel[row] = motion_kernel(int(length[row]), float(angle[row]))
        operations: list[Operation] = [(_add_noise, (field,)), (_filter, (kernel,)), (_rescale, (factor,))]
        return operations, np.where(applied[:, None], draws.unit(3), np.inf)


def shrunk_into_quad(corners: np.ndarray) -> np.ndarray:
    """Write the frame into the quadrilateral `corners` (B, 4, 2) and cut out its bounding box."""
    forward = np.linalg.inv(geometry.quad(corners))  # reads the quadrilateral; its inverse writes there
    return geometry.onto_canvas(np.linalg.inv(forward), np.ones(len(corners)))


def motion_kernel(length: int, angle: float) -> np.ndarray:
    """(KERNEL, KERNEL) float32 summing to 1: a line of `length` pixels, `angle` degrees from the diagonal."""
    line = np.zeros((KERNEL, KERNEL), np.float32)
    middle = (KERNEL - 1) / 2
    start = (KERNEL - length) // 2
    line[range(start, start + length), range(start, start + length)] = 1
    turned = cv2.warpAffine(line, cv2.getRotationMatrix2D((middle, middle), angle, 1), (KERNEL, KERNEL))
    return turned / turned.sum()


def _add_noise(images: Tensor, field: Tensor) -> Tensor:
    return (images + field).clamp_(0, 1)


def _filter(images: Tensor, kernel: Tensor) -> Tensor:
    batch = len(images)
    padded = F.pad(images, [KERNEL // 2] * 4, mode="reflect").reshape(1, batch * 3, *_padded(images))
    weight = kernel.repeat_interleave(3, 0).unsqueeze(1)
    return F.conv2d(padded, weight, groups=batch * 3).view_as(images).clamp_(0, 1)


def _padded(images: Tensor) -> tuple[int, int]:
    return images.shape[2] + KERNEL - 1, images.shape[3] + KERNEL - 1


def _rescale(images: Tensor, factor: Tensor) -> Tensor:
    """Take the crop down to BASE / 2 ** factor and back; factor 0 leaves it alone."""
    size = images.shape[2:]
    result = images
    for power in range(1, int(RESCALE) + 1):
        small = F.interpolate(
            images, (BASE[0] >> power, BASE[1] >> power), mode="bilinear", antialias=True, align_corners=False
        )
        back = F.interpolate(small, size, mode="bilinear", align_corners=False, antialias=True)
        result = torch.where(factor.view(-1, 1, 1, 1) == power, back, result)
    return result
