"""Where each pixel of a view comes from: maps of the unit square, composed per crop, and one sampling of the crop.

Points are (x, y) in the unit square; 0 is the left or top edge of an image, 1 the right or bottom edge. A map takes
points of an operation's output to points of its input. It is a homography (B, 3, 3), so operations are composed by
matrix products. Only rotations and shears need the crop's native aspect ratio, width / height, (B,).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lmim_kedro.views.draws import UNUSED, move

_NODE = 4  # pixels between the nodes at which maps are evaluated; between nodes, bilinear


def identity_map(aspect: Tensor) -> Tensor:
    """The maps (B, 3, 3) of crops that stay as they are; aspect (B,)."""
    return torch.eye(3, device=aspect.device).expand(len(aspect), 3, 3)


def crop_map(left: Tensor | float, right: Tensor | float, top: Tensor | float, bottom: Tensor | float) -> Tensor:
    """The maps (B, 3, 3) of crops cut by shares of width and height, (B,) or a number; the rest fills the canvas.

    Example:
        >>> Geometry(crop_map(torch.tensor([0.5]), 0, 0, 0)).points(2, 2)[0, 0, :, 0]
        tensor([0.6250, 0.8750])
    """
    return _matrix(1 - left - right, 0, left, 0, 1 - top - bottom, top, 0, 0, 1)


def rotation(degrees: Tensor) -> Tensor:
    """Rotations (B, 2, 2) for `linear_map`, clockwise by degrees (B,).

    Example:
        >>> (rotation(torch.tensor([90.0]))[0] @ torch.tensor([1.0, 0.0])).round()  # right becomes down
        tensor([-0., 1.])
    """
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    return torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)


def linear_map(matrix: Tensor, aspect: Tensor) -> Tensor:
    """The maps (B, 3, 3) that rotate or shear crops about their middle, on a canvas that grows to hold all of it.

    Args:
        matrix: (B, 2, 2), from places in the crop to places in the view, both with square pixels.
        aspect: (B,) width / height of the crops.
    """
    size = torch.stack([aspect, torch.ones_like(aspect)], 1)
    a, b, c, d = matrix.flatten(1).unbind(1)
    inverse = torch.stack([d, -b, -c, a], 1).view(-1, 2, 2) / (a * d - b * c)[:, None, None]
    # From shares of the canvas to heights of the crop, back through the matrix, to shares of the crop.
    scaled = inverse * grown_canvas(matrix, aspect)[:, None, :] / size[:, :, None]
    (x, y), (xx, xy, yx, yy) = (0.5 - 0.5 * scaled.sum(2)).unbind(1), scaled.flatten(1).unbind(1)
    return _matrix(xx, xy, x, yx, yy, y, 0, 0, 1)


def grown_canvas(matrix: Tensor, aspect: Tensor) -> Tensor:
    """Width and height (B, 2) of the canvas of `linear_map`, in heights of the crop."""
    size = torch.stack([aspect, torch.ones_like(aspect)], 1)
    return (matrix.abs() * size[:, None, :]).sum(2)


def slanted_map(values: Tensor, kind: str, aspect: Tensor) -> Tensor:
    """The maps (B, 3, 3) that shear or shift crops on a canvas that keeps its size; what leaves it is lost.

    Args:
        values: (B,) how far, to the left or up: for a shear in pixels per pixel of distance from the top or left edge,
            for a translation in shares of width or height.
        kind: shear_x, shear_y, translate_x or translate_y.
        aspect: (B,) width / height of the canvas.

    Example:
        >>> slanted_map(torch.tensor([0.25]), "translate_x", torch.tensor([4.0]))[0, 0]
        tensor([1.0000, 0.0000, 0.2500])
    """
    entries: list[Tensor | float] = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    scaled = {"shear_x": values / aspect, "shear_y": values * aspect}.get(kind, values)
    entries[{"shear_x": 1, "translate_x": 2, "shear_y": 3, "translate_y": 5}[kind]] = scaled
    return _matrix(*entries)


def inwards(moved: Tensor) -> Tensor:
    """The corners (B, 4, 2) after moving inwards by shares (B, 8) of the size: x and y, clockwise from top left.

    Example:
        >>> inwards(torch.full((1, 8), 0.25)).flatten().tolist()
        [0.25, 0.25, 0.75, 0.25, 0.75, 0.75, 0.25, 0.75]
    """
    x, y = moved.view(-1, 4, 2).unbind(2)
    x = torch.stack([x[:, 0], 1 - x[:, 1], 1 - x[:, 2], x[:, 3]], 1)
    y = torch.stack([y[:, 0], y[:, 1], 1 - y[:, 2], 1 - y[:, 3]], 1)
    return torch.stack([x, y], 2)


def quadrilateral_map(corners: Tensor) -> Tensor:
    """The maps (B, 3, 3) from the unit square to convex quadrilaterals (B, 4, 2), clockwise from top left.

    The solution of Heckbert (Fundamentals of Texture Mapping and Image Warping, 1989, section 2.2.3).

    Example:
        >>> torch.equal(quadrilateral_map(inwards(torch.zeros(1, 8))), identity_map(torch.ones(1)))
        True
    """
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (corner.unbind(1) for corner in corners.unbind(1))
    # (x, y) = (a u + b v + c, d u + e v + f) / (g u + h v + 1). The corner (0, 0) gives c and f, and (1, 0) and (0, 1)
    # give a, d, b, e as functions of g and h. So (1, 1) leaves two linear equations for g and h: Cramer's rule.
    dx1, dx2, dy1, dy2 = x1 - x2, x3 - x2, y1 - y2, y3 - y2
    sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3  # zero for a parallelogram, which needs no perspective
    area = dx1 * dy2 - dx2 * dy1
    g, h = (sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area
    return _matrix(x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h, 1)


def inverse_map(maps: Tensor) -> Tensor:
    """The inverses of homographies (B, 3, 3), up to a factor, which changes no homography.

    Example:
        >>> left_half = crop_map(0, torch.tensor([0.5]), 0, 0)
        >>> product(left_half, inverse_map(left_half))[0].diag()
        tensor([0.5000, 0.5000, 0.5000])
    """
    a, b, c = maps.unbind(1)
    return torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], 2)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Products (B, 3, 3) of matrices (B, 3, 3). Summed term by term, which gives the same in a batch of any size."""
    return a[:, :, :1] * b[:, :1] + a[:, :, 1:2] * b[:, 1:2] + a[:, :, 2:] * b[:, 2:]


def compose(maps: Sequence[Tensor], turns: np.ndarray, aspect: Tensor) -> Tensor:
    """The maps (B, 3, 3), from view to crop, of several operations in each crop's own order; all on the host.

    Args:
        maps: n maps (B, 3, 3), one of each operation.
        turns: (B, n) their turns; UNUSED for those a crop does not get.
        aspect: (B,) width / height of the crops.

    Example:
        >>> half = crop_map(torch.tensor([0.5]), 0, 0, 0)
        >>> torch.equal(compose([half, half], np.array([[UNUSED, 0]]), torch.tensor([4.0])), half)
        True
    """
    whole, (crops, count) = identity_map(aspect), turns.shape
    order = np.argsort(np.where(turns == UNUSED, np.iinfo(np.int64).max, turns), axis=1, kind="stable")
    order = np.where(np.take_along_axis(turns, order, axis=1) == UNUSED, count, order)
    # Every crop composes as many maps as the batch has operations: identities (the last) fill up its own.
    chosen = torch.from_numpy(order + (count + 1) * np.arange(crops)[:, None])
    for part in torch.stack([*maps, whole], 1).flatten(0, 1)[chosen].unbind(1):
        whole = product(whole, part)
    return whole


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of each view lie in its crop.

    Args:
        before: (B, 3, 3) maps of the operations before the piecewise warp, or of all if there is no warp.
        knots: (B, 2, rows, columns), how far the warp moves the points of a regular grid, x then y; None for no warp.
        after: (B, 3, 3) maps of the operations after the warp; None for none.

    Example:
        >>> left_half = Geometry(crop_map(0, torch.tensor([0.5]), 0, 0))
        >>> left_half.sample(torch.tensor([0.0, 1, 1, 1]).expand(1, 3, 4, 4))[0, 0, 0]
        tensor([0.0000, 0.2500, 0.7500, 1.0000])
    """

    before: Tensor
    knots: Tensor | None = None
    after: Tensor | None = None

    def to(self, device: torch.device) -> "Geometry":
        """The same on a device: one transfer that the host does not wait for."""
        return Geometry(*move([part.numpy() for part in self.parts()], device))

    def parts(self) -> list[Tensor]:
        """The arguments that are not None."""
        return [part for part in (self.before, self.knots, self.after) if part is not None]

    def points(self, height: int, width: int, every: int = 1) -> Tensor:
        """Where the pixels of a view of height x width, or one in `every`, lie in the crop: (B, rows, columns, 2)."""
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
        """The views (B, 3, H, W) of crops (B, 3, H, W), floats.

        Args:
            images: the crops.
            beyond: gray beyond the edge of the crop; None for the color of the edge.
        """
        height, width = images.shape[-2:]
        nodes = self.points(height, width, _NODE)
        # Rotating a long word shrinks it vertically. So that no stroke falls between two rows, each row is the mean of
        # two samples, as far apart as the rows are wide; where nothing shrinks they coincide.
        row = torch.gradient(nodes, dim=1)[0] * ((nodes.shape[1] - 1) / (height - 1))
        stride = torch.stack([row[..., 0] * width, row[..., 1] * height], -1).norm(dim=-1, keepdim=True)
        apart = row * (0.5 - 0.5 / stride.clamp_min(1))
        if beyond is not None:
            images = images - beyond  # grid_sample knows of two borders only: the edge, and zeros
        padding = "border" if beyond is None else "zeros"
        views = _read(images, nodes - apart, padding).add_(_read(images, nodes + apart, padding)).mul_(0.5)
        return views if beyond is None else views.add_(beyond).clamp_(0, 1)


def _read(images: Tensor, nodes: Tensor, padding: str) -> Tensor:
    """Sample images (B, 3, H, W) at points that are given at nodes (B, rows, columns, 2) and interpolated between."""
    coarse = (nodes * 2 - 1).permute(0, 3, 1, 2)
    grid = F.interpolate(coarse, images.shape[-2:], mode="bilinear", align_corners=True).permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, padding_mode=padding, align_corners=False)


def _through(maps: Tensor, points: Tensor) -> Tensor:
    """Map points (B, h, w, 2) by homographies (B, 3, 3)."""
    x, y = points.unbind(-1)
    rows = maps[:, :, :, None, None].unbind(1)
    along, down, scale = (row[:, 0] * x + row[:, 1] * y + row[:, 2] for row in rows)
    return torch.stack([along / scale, down / scale], -1)


def _matrix(*entries: Tensor | float) -> Tensor:
    """Matrices (B, 3, 3) of nine entries, row by row, each (B,) or a number."""
    like = next(entry for entry in entries if isinstance(entry, Tensor))
    columns = [entry if isinstance(entry, Tensor) else torch.full_like(like, entry) for entry in entries]
    return torch.stack(columns, 1).view(-1, 3, 3)
