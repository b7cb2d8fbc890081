"""Geometric operations as 3 x 3 matrices, composed into one sampling grid.

Every operation is the map from where a pixel is written to where it is read, in coordinates from -1 to 1 over its
frame: (B, 3, 3), column vectors (x, y, 1). Rotation and shear are computed in the crop's native aspect ratio.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

WARP_POINTS = 4  # of the piecewise warp, per side


def identity(batch: int) -> np.ndarray:
    """(B, 3, 3) that read where they write."""
    return np.tile(np.eye(3), (batch, 1, 1))


def crop(top: np.ndarray, bottom: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Cut off shares (B,) of each side and stretch the rest to the frame."""
    matrix = identity(len(top))
    matrix[:, 0, 0], matrix[:, 1, 1] = 1 - left - right, 1 - top - bottom
    matrix[:, 0, 2], matrix[:, 1, 2] = left - right, top - bottom
    return matrix


def rotate(degrees: np.ndarray, aspect: np.ndarray) -> np.ndarray:
    """Rotate a frame of width / height `aspect` (B,); the canvas grows to hold all of it."""
    angle = np.deg2rad(degrees)
    turn = identity(len(angle))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 0, 1], turn[:, 1, 0] = -np.sin(angle), np.sin(angle)
    return onto_canvas(turn, aspect)


def affine(
    degrees: np.ndarray, scale: np.ndarray, shear_x: np.ndarray, shear_y: np.ndarray, aspect: np.ndarray
) -> np.ndarray:
    """Shear (degrees), scale and rotate in the native aspect; the canvas grows or shrinks to hold all of it."""
    angle = np.deg2rad(degrees)
    turn, shear = identity(len(angle)), identity(len(angle))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle) * scale
    turn[:, 0, 1], turn[:, 1, 0] = -np.sin(angle) * scale, np.sin(angle) * scale
    shear[:, 0, 1], shear[:, 1, 0] = np.tan(np.deg2rad(shear_x)), np.tan(np.deg2rad(shear_y))
    return onto_canvas(turn @ shear, aspect)


def onto_canvas(forward: np.ndarray, aspect: np.ndarray) -> np.ndarray:
    """Inverse of a forward map (B, 3, 3) of native coordinates (height 2, width 2 * aspect, centre 0), written to the
    smallest upright canvas that holds the mapped frame."""
    corners = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]], np.float64).T
    native = np.zeros_like(forward)
    native[:, 0, 0], native[:, 1, 1], native[:, 2, 2] = aspect, 1, 1
    mapped = forward @ native @ corners
    mapped = mapped[:, :2] / mapped[:, 2:]
    low, high = mapped.min(2), mapped.max(2)
    canvas = np.zeros_like(forward)
    canvas[:, [0, 1], [0, 1]] = (high - low) / 2
    canvas[:, :2, 2] = (high + low) / 2
    canvas[:, 2, 2] = 1
    return np.linalg.inv(native) @ np.linalg.inv(forward) @ canvas


def quad(corners: np.ndarray) -> np.ndarray:
    """Read the quadrilateral `corners` (B, 4, 2), clockwise from top left in [-1, 1], into the whole frame."""
    x, y = corners[..., 0], corners[..., 1]
    # The unit square onto a quadrilateral in closed form (Heckbert 1989, section 2.2.3).
    sum_x, sum_y = x[:, 0] - x[:, 1] + x[:, 2] - x[:, 3], y[:, 0] - y[:, 1] + y[:, 2] - y[:, 3]
    dx1, dx2 = x[:, 1] - x[:, 2], x[:, 3] - x[:, 2]
    dy1, dy2 = y[:, 1] - y[:, 2], y[:, 3] - y[:, 2]
    area = dx1 * dy2 - dx2 * dy1
    g, h = (sum_x * dy2 - dx2 * sum_y) / area, (dx1 * sum_y - sum_x * dy1) / area
    matrix = np.empty((len(x), 3, 3))
    matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 0, 2] = (
        x[:, 1] - x[:, 0] + g * x[:, 1],
        x[:, 3] - x[:, 0] + h * x[:, 3],
        x[:, 0],
    )
    matrix[:, 1, 0], matrix[:, 1, 1], matrix[:, 1, 2] = (
        y[:, 1] - y[:, 0] + g * y[:, 1],
        y[:, 3] - y[:, 0] + h * y[:, 3],
        y[:, 0],
    )
    matrix[:, 2, 0], matrix[:, 2, 1], matrix[:, 2, 2] = g, h, 1
    to_unit = np.array([[0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0, 1]])
    return matrix @ to_unit


def inward_corners(shift: np.ndarray) -> np.ndarray:
    """(B, 4, 2) corners of the frame moved inwards by shares (B, 4, 2) of its size, clockwise from top left."""
    start = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)
    return start - np.sign(start) * 2 * shift


def sampling_grid(height: int, width: int, first: Tensor, last: Tensor, warp: Tensor | None = None) -> Tensor:
    """Where each pixel of the view is read: (B, height, width, 2) for grid_sample(align_corners=False).

    Args:
        height, width: pixels of the view.
        first: (B, 3, 3) operations applied before the warp, already multiplied (the earliest leftmost).
        last: (B, 3, 3) those applied after it.
        warp: (B, 2, P, P) displacements at a grid of points over the frame, in [-1, 1] coordinates; None: no warp.
    """
    where = _project(last, _pixel_centres(height, width).to(last.device))
    if warp is not None:
        place = where.transpose(1, 2).reshape(len(where), height, width, 2)
        moved = F.grid_sample(warp, place, mode="bilinear", padding_mode="border", align_corners=True)
        where = where + moved.flatten(2)
    read = _project(first, where)
    return read.transpose(1, 2).reshape(-1, height, width, 2)


def sample(images: Tensor, grid: Tensor) -> Tensor:
    """Read (B, C, H, W) at a grid, bilinear, edges continued."""
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _project(matrix: Tensor, points: Tensor) -> Tensor:
    """(B, 3, 3) times points (2, N) or (B, 2, N) -> (B, 2, N)."""
    moved = matrix[:, :, :2] @ points + matrix[:, :, 2:]
    return moved[:, :2] / moved[:, 2:]


@lru_cache(maxsize=8)
def _pixel_centres(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(
        (torch.arange(height) + 0.5) * 2 / height - 1, (torch.arange(width) + 0.5) * 2 / width - 1, indexing="ij"
    )
    return torch.stack([x.flatten(), y.flatten()])
