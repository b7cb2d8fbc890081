"""Guidance views: the same text in another appearance (paper, section 3.2), for a whole batch at once."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.params import ViewPreset
from lmim_kedro.views import color, filters
from lmim_kedro.views.draws import UNUSED, Operation, apply_in_turn, close_ranks, move
from lmim_kedro.views.geometry import Geometry, compose, crop_map, inwards, linear_map, quadrilateral_map, rotation
from lmim_kedro.views.policy import COLORS, GEOMETRIC, JITTERS, KNOTS, DrawnViews, ViewPolicy

WARP = "piecewise_affine"


class GuidanceViews:
    """Draws the guidance view of each crop of a batch, on the device of the crops.

    Geometric operations become one sampling grid per crop, color operations batched arithmetic. The operations of a
    crop, their order and strengths depend on (seed, epoch, crop index) alone: not on the batch, the device or a worker.
    Applying one operation after the other to the image would differ in two ways: here geometry comes before color (each
    keeps its own order), and the area beyond the crop's edge has the edge's color.

    Args:
        preset: the operations, how strong they are, and how many of them a crop gets.

    Raises:
        InputError: if the preset picks more operations than it has.

    Example:
        >>> draw = GuidanceViews(ViewPreset(pick=(1, 1), rotate=15))
        >>> crops = torch.zeros(2, 3, 32, 128, dtype=torch.uint8)
        >>> draw(crops, torch.full((2,), 4.0), seed=0, epoch=0, index=np.arange(2)).shape
        torch.Size([2, 3, 32, 128])
    """

    def __init__(self, preset: ViewPreset) -> None:
        self.policy = ViewPolicy(preset)
        self._pixels: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "contrast": color.contrast_about_middle,
            "blur": partial(filters.gaussian_blur, radius=filters.blur_radius(preset.blur[1] if preset.blur else 0)),
            "sharpen": filters.sharpen,
            "solarize": color.solarize,
            "grayscale_blend": color.blend_gray,
        }

    def __call__(self, images: Tensor, aspect: Tensor, *, seed: int, epoch: int, index: np.ndarray) -> Tensor:
        """Draw a view of each crop. The host never waits for the device.

        Args:
            images: (B, 3, H, W), uint8 or floats in [0, 1], the whole crop squeezed to H x W; not changed.
            aspect: (B,) float32, width / height of each crop before it was squeezed.
            seed: seed of the run.
            epoch: number of the pass over the crops; another epoch gives another view.
            index: (B,) int64 crop indices.

        Returns:
            (B, 3, H, W) float32 in [0, 1].
        """
        drawn = self.policy.draw(seed=seed, epoch=epoch, index=index)
        crops = to_unit(images)
        geometry = self.geometry(drawn, aspect.to(images.device, non_blocking=True))
        views = crops.clone() if geometry is None else geometry.sample(crops)
        return apply_in_turn(views, self.colors(drawn))

    def geometry(self, drawn: DrawnViews, aspect: Tensor) -> Geometry | None:
        """Where the pixels of each view lie in its crop, for aspect (B,), on its device; None if none moves."""
        names = [name for name in GEOMETRIC if name in drawn.turns]
        if not names:
            return None
        values = dict(zip(names, move([drawn.values[name] for name in names], aspect.device), strict=True))
        mapped = [name for name in names if name != WARP]
        maps, turns = [_MAPS[name](values[name], aspect) for name in mapped], drawn.turns_of(mapped)
        if WARP not in names:
            return Geometry(compose(maps, turns, aspect))
        # The warp is no homography, so the maps before it and after it are composed apart. A crop without the warp has
        # all maps before, and knots that do not move.
        warp = drawn.turns[WARP][:, None]
        (warped,) = move([(warp != UNUSED).astype(np.float32)], aspect.device)
        first = (warp == UNUSED) | (turns < warp)
        before, after = np.where(first, turns, UNUSED), np.where(first, UNUSED, turns)
        knots = (values[WARP] * warped).view(-1, 2, KNOTS, KNOTS)
        return Geometry(compose(maps, before, aspect), knots, compose(maps, after, aspect))

    def colors(self, drawn: DrawnViews) -> list[Operation]:
        """The operations on pixels with their values and turns: the picked ones, then color jitter, then gray."""
        names = [name for name in COLORS if name in drawn.turns]
        turns = close_ranks(drawn.turns_of(names)).T
        done = [Operation(self._pixels[name], drawn.values[name], its) for name, its in zip(names, turns, strict=True)]
        done += jitter_operations(drawn.jitter_turns, drawn.jitter_values, len(names))
        last = np.where(drawn.grayscale, len(names) + len(JITTERS), UNUSED)
        return [*done, Operation(color.blend_gray, np.ones((len(last), 1), np.float32), last)]


def to_unit(images: Tensor) -> Tensor:
    """Images of any shape, uint8 or floats in [0, 1], as float32 in [0, 1].

    Example:
        >>> to_unit(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([0., 1.])
    """
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def jitter_operations(turns: dict[str, np.ndarray], values: dict[str, np.ndarray], first: int) -> list[Operation]:
    """Color jitter as operations, with turns and values of `draw_jitter`; `first` is the turn of its first one."""
    return [
        Operation(_JITTER[name], values[name], np.where(turn == UNUSED, UNUSED, turn + first))
        for name, turn in turns.items()
    ]


# Maps (B, 3, 3) of values (B, p) and aspect (B,).
_MAPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "crop_vertical": lambda values, aspect: crop_map(0, 0, values[:, 0], values[:, 1]),
    "crop_horizontal": lambda values, aspect: crop_map(values[:, 0], values[:, 1], 0, 0),
    "rotate": lambda values, aspect: linear_map(rotation(values[:, 0]), aspect),
    "perspective": lambda values, aspect: quadrilateral_map(inwards(values)),  # what is between the corners fills it
}

_JITTER: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": color.brightness,
    "contrast": color.contrast_about_mean,
    "saturation": color.saturation,
    "hue": color.hue,
}
