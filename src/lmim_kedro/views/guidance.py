"""The guidance view of a crop: the same word, looking different (paper, section 3.1; ranges from the released code)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.params import JitterParams, ViewPreset
from lmim_kedro.views import colour, geometry
from lmim_kedro.views.draws import Draws, to_device
from lmim_kedro.views.slots import Operation, apply_in_order

COLOUR = ("contrast", "blur", "sharpen", "solarize", "grayscale_blend")
GEOMETRY = ("crop_vertical", "crop_horizontal", "rotate", "perspective", "piecewise_affine")
CPU_CHUNK = 32  # crops whose pixels stay in a core's cache from one operation to the next


class GuidanceViews:
    """Draws the guidance view of every crop of a batch, on the batch's device.

    Which operations a crop gets, their order and their parameters are its own, and a function of (seed, epoch, crop
    index). The geometric ones are composed in that order, in the crop's native aspect ratio, into one sampling grid;
    the colour ones follow in that order, then colour jitter and full grey.

    Args:
        preset: the policy.
        height, width: of the crops, pixels.
    """

    def __init__(self, preset: ViewPreset, height: int = 32, width: int = 128) -> None:
        self.preset, self.height, self.width = preset, height, width
        self.pool = [name for name in (*COLOUR, *GEOMETRY) if getattr(preset, name) is not None]

    def __call__(self, images: Tensor, aspect: Tensor, *, seed: int, epoch: int, index: np.ndarray) -> Tensor:
        """Views of a batch.

        Args:
            images: (B, 3, H, W) uint8, or floats in [0, 1].
            aspect: (B,) width / height of the crops before they were resized.
            seed, epoch, index: of the run, the pass, and (B,) the crops.

        Returns:
            (B, 3, H, W) floats in [0, 1].
        """
        draws = Draws(128, seed=seed, stream="guidance view", epoch=epoch, index=index)
        rank = self.choose(draws, len(index))
        shapes = np.asarray(aspect.cpu(), np.float64)
        first, last, warp = self._matrices(draws, rank, shapes)
        operations, colour_rank = self._colour_operations(draws, rank)
        jitter, jitter_rank, grey = self._jitter(draws, len(index))
        chunk = CPU_CHUNK if images.device.type == "cpu" else len(images)
        views = []
        for start in range(0, len(images), chunk):
            part = slice(start, start + chunk)
            view = as_floats(images[part])
            view = self._sample(view, first[part], last[part], warp[part])
            view = apply_in_order(view, _part(operations, part), colour_rank[part])
            view = apply_in_order(view, _part(jitter, part), jitter_rank[part])
            views.append(apply_in_order(view, _part(grey[0], part), grey[1][part]))
        return torch.cat(views) if len(views) != 1 else views[0]

    def choose(self, draws: Draws, batch: int) -> dict[str, np.ndarray]:
        """Rank (B,) of every operation of the pool in each crop's order; infinite: not picked."""
        least, most = self.preset.pick
        size = len(self.pool)
        most = size if most is None else min(most, size)
        least = min(least, most)
        count = np.floor(draws.between(least, most + 1))
        lot = draws.unit(len(COLOUR) + len(GEOMETRY))[:, :size]
        place = lot.argsort(1).argsort(1)
        ranks = np.where(place < count[:, None], place.astype(np.float64), np.inf)
        return {name: ranks[:, number] for number, name in enumerate(self.pool)}

    def _matrices(
        self, draws: Draws, rank: dict[str, np.ndarray], aspect: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Operations before the warp and after it, each multiplied into (B, 3, 3), and the warp (B, 2, P, P)."""
        preset, batch = self.preset, len(aspect)
        none = np.zeros(batch)
        matrices: dict[str, np.ndarray] = {}
        top, bottom = draws.unit(), draws.unit()
        left, right = draws.unit(), draws.unit()
        if preset.crop_vertical is not None:
            most = preset.crop_vertical
            matrices["crop_vertical"] = geometry.crop(most * top, most * bottom, none, none)
        if preset.crop_horizontal is not None:
            most = preset.crop_horizontal
            matrices["crop_horizontal"] = geometry.crop(none, none, most * left, most * right)
        turn = draws.between(-1, 1)
        if preset.rotate is not None:
            matrices["rotate"] = geometry.rotate(preset.rotate * turn, aspect)
        size, shift = draws.unit(), np.abs(draws.normal(8)).reshape(batch, 4, 2)
        if preset.perspective is not None:
            low, high = preset.perspective
            sigma = (low + (high - low) * size)[:, None, None]
            matrices["perspective"] = geometry.quad(geometry.inward_corners(np.minimum(sigma * shift, 0.45)))
        size, points = draws.unit(), draws.normal(2 * geometry.WARP_POINTS**2)
        warp = points.reshape(batch, 2, geometry.WARP_POINTS, geometry.WARP_POINTS)
        warp_rank = rank.get("piecewise_affine", np.full(batch, np.inf))
        low, high = preset.piecewise_affine or (0.0, 0.0)
        strength = 2 * (low + (high - low) * size) * np.isfinite(warp_rank)
        first, last = geometry.identity(batch), geometry.identity(batch)
        names = list(matrices)
        order = np.argsort(np.stack([rank[name] for name in names], 1), axis=1) if names else np.empty((batch, 0), int)
        for slot in range(len(names)):
            for number, name in enumerate(names):
                here = (order[:, slot] == number) & np.isfinite(rank[name])
                early = here & (rank[name] < warp_rank)
                late = here & ~early
                first[early] = first[early] @ matrices[name][early]
                last[late] = last[late] @ matrices[name][late]
        return first, last, warp * strength[:, None, None, None]

    def _sample(self, images: Tensor, first: np.ndarray, last: np.ndarray, warp: np.ndarray) -> Tensor:
        displaced = to_device(warp, images) if warp.any() else None
        grid = geometry.sampling_grid(
            self.height, self.width, to_device(first, images), to_device(last, images), displaced
        )
        return geometry.sample(images, grid)

    def _colour_operations(self, draws: Draws, rank: dict[str, np.ndarray]) -> tuple[list[Operation], np.ndarray]:
        preset = self.preset
        unit = {name: draws.unit() for name in COLOUR}
        extra = draws.unit(2)

        def scaled(name: str, limits: tuple[float, float] | None) -> np.ndarray:
            low, high = limits or (0.0, 0.0)
            return low + (high - low) * unit[name]

        alpha, lightness = preset.sharpen or ((0.0, 0.0), (0.0, 0.0))
        light = lightness[0] + (lightness[1] - lightness[0]) * extra[:, 0]
        above = (extra[:, 1] < 0.5).astype(np.float32)
        operations: dict[str, Operation] = {
            "contrast": (colour.contrast, (scaled("contrast", preset.contrast),)),
            "blur": (colour.blur, (scaled("blur", preset.blur),)),
            "sharpen": (colour.sharpen, (scaled("sharpen", alpha), light)),
            "solarize": (colour.solarize, (scaled("solarize", preset.solarize) / 255, above)),
            "grayscale_blend": (colour.grayscale_blend, (scaled("grayscale_blend", preset.grayscale_blend),)),
        }
        nowhere = np.full(len(extra), np.inf)
        return list(operations.values()), np.stack([rank.get(name, nowhere) for name in operations], axis=1)

    def _jitter(
        self, draws: Draws, batch: int
    ) -> tuple[list[Operation], np.ndarray, tuple[list[Operation], np.ndarray]]:
        operations, rank = draw_jitter(draws, self.preset.jitter or JitterParams(probability=0.0))
        grey = np.where(draws.unit() < self.preset.grayscale_probability, 0.0, np.inf)[:, None]
        return operations, rank, ([(colour.grayscale_blend, (np.ones(batch),))], grey)


def draw_jitter(draws: Draws, jitter: JitterParams) -> tuple[list[Operation], np.ndarray]:
    """torchvision's colour jitter with a probability: its four operations, in a random order for each crop."""
    applied = draws.unit() < jitter.probability
    factors = [draws.between(max(0.0, 1 - s), 1 + s) for s in (jitter.brightness, jitter.contrast, jitter.saturation)]
    functions = (colour.brightness, colour.jitter_contrast, colour.saturation)
    operations: list[Operation] = [(function, (factor,)) for function, factor in zip(functions, factors, strict=True)]
    operations.append((colour.hue, (draws.between(-jitter.hue, jitter.hue),)))
    return operations, np.where(applied[:, None], draws.unit(4), np.inf)


def as_floats(images: Tensor) -> Tensor:
    """uint8 or floats in [0, 1] -> floats in [0, 1], a tensor of its own."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.clone()


def _part(operations: list[Operation], part: slice) -> list[Operation]:
    return [(function, tuple(values[part] for values in parameters)) for function, parameters in operations]
