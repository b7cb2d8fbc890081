"""Where each pixel of a view comes from: maps of the unit square, composed per crop, and one sampling of the crop.

Points are (x, y) in the unit square: 0 is the left or top edge of an image, 1 the right or bottom one. A map takes
points of what an operation gives to points of what it was given, and is a homography (B, 3, 3), so that composing an
operation after others is one product. Only rotations and shears need to know the crop's native aspect ratio.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lmim_kedro.views.draws import UNUSED, move

_NODE = 4
"""Pixels between the nodes at which maps are evaluated; between nodes, bilinear."""


def identity_map(aspect: Tensor) -> Tensor:
    """(B, 3, 3) of crops to which nothing is done; aspect (B,)."""
    return torch.eye(3, device=aspect.device).expand(len(aspect), 3, 3)


def crop_map(left: Tensor, right: Tensor, top: Tensor, bottom: Tensor) -> Tensor:
    """Cut off shares (B,) of width and height; what is left fills the canvas."""
    zero, one = torch.zeros_like(left), torch.ones_like(left)
    return _matrix([1 - left - right, zero, left, zero, 1 - top - bottom, top, zero, zero, one])


def rotation(degrees: Tensor) -> Tensor:
    """(B,) -> (B, 2, 2), for `linear_map`; clockwise as seen."""
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    return torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)


def linear_map(matrix: Tensor, aspect: Tensor) -> Tensor:
    """Turn or shear the crop about its middle, in its native aspect ratio, on a canvas grown to hold all of it.

    Args:
        matrix: (B, 2, 2), from places in the crop to places in the view, both with square pixels.
        aspect: (B,) width / height.
    """
    size = torch.stack([aspect, torch.ones_like(aspect)], 1)
    canvas = grown_canvas(matrix, aspect)
    a, b, c, d = matrix.flatten(1).unbind(1)
    inverse = torch.stack([d, -b, -c, a], 1).view(-1, 2, 2) / (a * d - b * c)[:, None, None]
    scaled = inverse * canvas[:, None, :] / size[:, :, None]
    shift = 0.5 - 0.5 * scaled.sum(2)
    zero, one = torch.zeros_like(aspect), torch.ones_like(aspect)
    xx, xy, yx, yy = scaled.flatten(1).unbind(1)
    return _matrix([xx, xy, shift[:, 0], yx, yy, shift[:, 1], zero, zero, one])


def grown_canvas(matrix: Tensor, aspect: Tensor) -> Tensor:
    """(B, 2) width and height, in heights of the crop, of the canvas that `linear_map` needs."""
    size = torch.stack([aspect, torch.ones_like(aspect)], 1)
    return (matrix.abs() * size[:, None, :]).sum(2)


def slanted_map(values: Tensor, kind: str, aspect: Tensor) -> Tensor:
    """Shear or shift the crop on a canvas that stays as it is: what leaves it is lost.

    Args:
        values: (B,) shear_x, shear_y: pixels per pixel of distance from the top, or the left, edge; translate_x,
            translate_y: shares of width, or height. Towards left and top, as seen.
        kind: one of these.
        aspect: (B,) width / height of the canvas.
    """
    zero, one = torch.zeros_like(values), torch.ones_like(values)
    xy, x, yx, y = zero, zero, zero, zero
    match kind:
        case "shear_x":
            xy = values / aspect
        case "shear_y":
            yx = values * aspect
        case "translate_x":
            x = values
        case "translate_y":
            y = values
        case _:
            raise ValueError(kind)
    return _matrix([one, xy, x, yx, one, y, zero, zero, one])


def inwards(moved: Tensor) -> Tensor:
    """Corners (B, 4, 2) that went inwards by shares of the size (B, 8): x and y, from top left, clockwise."""
    x, y = moved.view(-1, 4, 2).unbind(2)
    x = torch.stack([x[:, 0], 1 - x[:, 1], 1 - x[:, 2], x[:, 3]], 1)
    y = torch.stack([y[:, 0], y[:, 1], 1 - y[:, 2], 1 - y[:, 3]], 1)
    return torch.stack([x, y], 2)


def quadrilateral_map(corners: Tensor) -> Tensor:
    """From the unit square to a convex quadrilateral (B, 4, 2), corners from top left, clockwise."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (corner.unbind(1) for corner in corners.unbind(1))
    dx1, dx2, dy1, dy2 = x1 - x2, x3 - x2, y1 - y2, y3 - y2
    sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    area = dx1 * dy2 - dx2 * dy1
    g, h = (sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area
    one = torch.ones_like(x0)
    return _matrix([x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h, one])


def inverse_map(maps: Tensor) -> Tensor:
    """The inverse of homographies (B, 3, 3), up to scale, which a homography does not have."""
    a, b, c = maps.unbind(1)
    return torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], 2)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Products of 3 x 3 matrices, term by term: the same in a batch of any size."""
    return a[:, :, :1] * b[:, :1] + a[:, :, 1:2] * b[:, 1:2] + a[:, :, 2:] * b[:, 2:]


def compose(maps: Tensor, turns: np.ndarray) -> Tensor:
    """The map of several operations, each crop's in its own order.

    Args:
        maps: (B, n, 3, 3), of which the first is the identity.
        turns: (B, n) at which turn a crop gets each; UNUSED: not at all, as the first.

    Returns:
        (B, 3, 3), from the view to the crop.
    """
    crops, count = turns.shape
    last = np.where(turns == UNUSED, np.iinfo(np.int64).max, turns)
    order = np.argsort(last, axis=1, kind="stable")[:, : count - 1]
    order = np.where(np.take_along_axis(turns, order, axis=1) == UNUSED, 0, order)
    (chosen,) = move([order + count * np.arange(crops)[:, None]], maps.device)
    whole = maps[:, 0]
    for part in maps.flatten(0, 1)[chosen].unbind(1):
        whole = product(whole, part)
    return whole


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of each view lie in its crop.

    Args:
        before: (B, 3, 3), the map of what happens to the crop before the piecewise warp, or of everything.
        knots: (B, 2, rows, columns), how far the warp moves the points of a regular grid (x, then y); None: no warp.
        after: (B, 3, 3), the map of what happens after the warp; None: nothing.
    """

    before: Tensor
    knots: Tensor | None = None
    after: Tensor | None = None

    def points(self, height: int, width: int, every: int = 1) -> Tensor:
        """Points (B, rows, columns, 2) of the crop for the pixels of a view of height x width, or one in `every`."""
        device = self.before.device
        y, x = (
            torch.linspace(0.5 / size, 1 - 0.5 / size, max(2, (size - 1) // every + 1), device=device)
            for size in (height, width)
        )
        points = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).expand(len(self.before), -1, -1, -1)
        if self.after is not None:
            points = _through(self.after, points)
        if self.knots is not None:
            moved = F.grid_sample(self.knots, points * 2 - 1, padding_mode="border", align_corners=True)
            points = points + moved.permute(0, 2, 3, 1)
        return _through(self.before, points)

    def sample(self, images: Tensor, beyond: float | None = None) -> Tensor:
        """The views (B, 3, H, W) of crops (B, 3, H, W), floats; beyond the edge, a gray, or None: the edge's color.

        Turning a long word shrinks it vertically. So that no stroke falls between two rows, each row is the mean of two
        samples, as far apart as the rows are wide; where nothing shrinks they coincide.
        """
        height, width = images.shape[-2:]
        nodes = self.points(height, width, _NODE)
        row = torch.gradient(nodes, dim=1)[0] * ((nodes.shape[1] - 1) / (height - 1))
        stride = torch.stack([row[..., 0] * width, row[..., 1] * height], -1).norm(dim=-1, keepdim=True)
        apart = row * (0.5 - 0.5 / stride.clamp_min(1))
        if beyond is not None:
            images = images - beyond  # grid_sample knows of two borders only: the edge, and zeros
        padding = "border" if beyond is None else "zeros"
        views = _read(images, nodes - apart, padding).add_(_read(images, nodes + apart, padding)).mul_(0.5)
        return views if beyond is None else views.add_(beyond).clamp_(0, 1)


def _read(images: Tensor, nodes: Tensor, padding: str) -> Tensor:
    """Read images at points, given at the nodes (B, rows, columns, 2) of a view as large as they are."""
    coarse = (nodes * 2 - 1).permute(0, 3, 1, 2)
    grid = F.interpolate(coarse, images.shape[-2:], mode="bilinear", align_corners=True).permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


def _through(maps: Tensor, points: Tensor) -> Tensor:
    """Points (B, h, w, 2) through homographies (B, 3, 3)."""
    x, y = points.unbind(-1)
    rows = maps[:, :, :, None, None].unbind(1)
    along, down, scale = (row[:, 0] * x + row[:, 1] * y + row[:, 2] for row in rows)
    return torch.stack([along / scale, down / scale], -1)


def _matrix(entries: list[Tensor]) -> Tensor:
    return torch.stack(entries, 1).view(-1, 3, 3)
