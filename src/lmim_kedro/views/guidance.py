"""Guidance views: the same text in another appearance (paper, section 3.2), for a whole batch at once."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.params import ViewPreset
from lmim_kedro.views import color, filters
from lmim_kedro.views.draws import UNUSED, Kind, Operation, apply_in_turn, apply_to_all, close_ranks, move, packed
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
        compiled: draw by torch.compile, as one graph: few launches for a GPU, but slower on a CPU.

    Raises:
        InputError: if the preset picks more operations than it has.

    Example:
        >>> draw = GuidanceViews(ViewPreset(pick=(1, 1), rotate=15))
        >>> crops = torch.zeros(2, 3, 32, 128, dtype=torch.uint8)
        >>> draw(crops, torch.full((2,), 4.0), seed=0, epoch=0, index=np.arange(2)).shape
        torch.Size([2, 3, 32, 128])
    """

    def __init__(self, preset: ViewPreset, compiled: bool = False) -> None:
        self.policy = ViewPolicy(preset)
        self._in_one_graph = torch.compile(draw_all) if compiled else None
        self._radius = filters.blur_radius(preset.blur[1] if preset.blur else 0)

    def __call__(self, images: Tensor, aspect: Tensor, *, seed: int, epoch: int, index: np.ndarray) -> Tensor:
        """Draw a view of each crop. The host never waits for the device.

        Args:
            images: (B, 3, H, W), uint8 or floats in [0, 1], the whole crop squeezed to H x W; not changed.
            aspect: (B,) float32, width / height of each crop before it was squeezed, on the host; it waits for those of
                a GPU.
            seed: seed of the run.
            epoch: number of the pass over the crops; another epoch gives another view.
            index: (B,) int64 crop indices.

        Returns:
            (B, 3, H, W) float32 in [0, 1].
        """
        drawn = self.policy.draw(seed=seed, epoch=epoch, index=index)
        geometry, operations = self.geometry(drawn, aspect.cpu()), self.colors(drawn)
        if self._in_one_graph is not None:
            kinds, given = packed(operations)
            maps = [] if geometry is None else geometry.parts()
            numbers, *maps = move([given, *(part.numpy() for part in maps)], images.device)
            return self._in_one_graph(images, kinds, numbers, maps)
        crops = to_unit(images)
        views = crops.clone() if geometry is None else geometry.to(images.device).sample(crops)
        return apply_in_turn(views, operations)

    def geometry(self, drawn: DrawnViews, aspect: Tensor) -> Geometry | None:
        """Where the pixels of each view lie in its crop, for aspect (B,), on the host; None if none moves."""
        names = [name for name in GEOMETRIC if name in drawn.turns]
        if not names:
            return None
        values = {name: torch.from_numpy(drawn.values[name]) for name in names}
        mapped = [name for name in names if name != WARP]
        maps, turns = [_MAPS[name](values[name], aspect) for name in mapped], drawn.turns_of(mapped)
        if WARP not in names:
            return Geometry(compose(maps, turns, aspect))
        # The warp is no homography, so the maps before it and after it are composed apart. A crop without the warp has
        # all maps before, and knots that do not move.
        warp = drawn.turns[WARP][:, None]
        warped = torch.from_numpy((warp != UNUSED).astype(np.float32))
        first = (warp == UNUSED) | (turns < warp)
        before, after = np.where(first, turns, UNUSED), np.where(first, UNUSED, turns)
        knots = (values[WARP] * warped).view(-1, 2, KNOTS, KNOTS)
        return Geometry(compose(maps, before, aspect), knots, compose(maps, after, aspect))

    def colors(self, drawn: DrawnViews) -> list[Operation]:
        """The operations on pixels with their values and turns: the picked ones, then color jitter, then gray."""
        names = [name for name in COLORS if name in drawn.turns]
        turns, values, among = close_ranks(drawn.turns_of(names)).T, drawn.values, range(len(names))
        if "blur" in names:
            values = values | {"blur": filters.gaussian_taps(values["blur"], self._radius)}
        done = [Operation(_PIXELS[name], values[name], its, among) for name, its in zip(names, turns, strict=True)]
        done += jitter_operations(drawn.jitter_turns, drawn.jitter_values, len(names))
        last = len(names) + len(JITTERS)
        its = np.where(drawn.grayscale, last, UNUSED)
        return [*done, Operation(color.blend_gray, np.ones((len(its), 1), np.float32), its, range(last, last + 1))]


def draw_all(images: Tensor, kinds: Sequence[Kind], given: Tensor, maps: Sequence[Tensor]) -> Tensor:
    """Views of images: `maps` are the parts of a Geometry, `kinds` and `given` are from `packed`."""
    crops = to_unit(images)
    return apply_to_all(Geometry(*maps).sample(crops) if maps else crops, kinds, given)


def to_unit(images: Tensor) -> Tensor:
    """Images of any shape, uint8 or floats in [0, 1], as float32 in [0, 1].

    Example:
        >>> to_unit(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([0., 1.])
    """
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()


def jitter_operations(turns: dict[str, np.ndarray], values: dict[str, np.ndarray], first: int) -> list[Operation]:
    """Color jitter as operations, with turns and values of `draw_jitter`; `first` is the turn of its first one."""
    among = range(first, first + len(JITTERS))
    return [
        Operation(_JITTER[name], values[name], np.where(turn == UNUSED, UNUSED, turn + first), among)
        for name, turn in turns.items()
    ]


# Maps (B, 3, 3) of values (B, p) and aspect (B,).
_MAPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "crop_vertical": lambda values, aspect: crop_map(0, 0, values[:, 0], values[:, 1]),
    "crop_horizontal": lambda values, aspect: crop_map(values[:, 0], values[:, 1], 0, 0),
    "rotate": lambda values, aspect: linear_map(rotation(values[:, 0]), aspect),
    "perspective": lambda values, aspect: quadrilateral_map(inwards(values)),  # what is between the corners fills it
}

_PIXELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "contrast": color.contrast_about_middle,
    "blur": filters.gaussian_blur,
    "sharpen": filters.sharpen,
    "solarize": color.solarize,
    "grayscale_blend": color.blend_gray,
}

_JITTER: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": color.brightness,
    "contrast": color.contrast_about_mean,
    "saturation": color.saturation,
    "hue": color.hue,
}
