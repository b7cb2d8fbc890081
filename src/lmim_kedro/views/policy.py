"""Draws the operations of each guidance view from a preset (paper, Table 2; ranges: ViewPreset)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lmim_kedro.errors import InputError
from lmim_kedro.params import JitterParams, ViewPreset
from lmim_kedro.views.draws import UNUSED, Draws

GEOMETRIC = ("crop_vertical", "crop_horizontal", "rotate", "perspective", "piecewise_affine")
COLORS = ("contrast", "blur", "sharpen", "solarize", "grayscale_blend")
JITTERS = ("brightness", "contrast", "saturation", "hue")

KNOTS = 4  # rows and columns of the piecewise warp's grid, as imgaug has it

# Largest move of a corner, in shares of the size: each corner stays in its quarter, so no text is mirrored. Below 1/3
# every quadrilateral would be convex, but some draws of the preset `strong` reach further, and are convex all the same.
# Presets with sigmas above 0.15 can fold a corner inwards.
_FARTHEST = 0.45


@dataclass(frozen=True)
class DrawnViews:
    """The operations of each of B crops, by name.

    Args:
        turns: (B,) turn of each operation of the preset in the crop's order; UNUSED where it is not picked.
        values: (B, p) float32 values of each operation of the preset.
        jitter_turns: (B,) turns of the parts of color jitter, in an order of their own.
        jitter_values: (B, 1) factors of these parts; for hue, the share of a full turn.
        grayscale: (B,) whether the view becomes gray in the end.
    """

    turns: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    jitter_turns: dict[str, np.ndarray]
    jitter_values: dict[str, np.ndarray]
    grayscale: np.ndarray

    def turns_of(self, names: Sequence[str]) -> np.ndarray:
        """Turns (B, n) of n operations of the preset."""
        return np.reshape([self.turns[name] for name in names], (len(names), len(self.grayscale))).T


class ViewPolicy:
    """Draws from a preset, which says the operations, how strong they are, and how many of them a crop gets.

    Raises:
        InputError: if the preset picks more operations than it has.

    Example:
        >>> drawn = ViewPolicy(ViewPreset(pick=(1, 1), rotate=15)).draw(seed=0, epoch=0, index=np.arange(3))
        >>> drawn.turns["rotate"].tolist(), drawn.values["rotate"].shape
        ([0, 0, 0], (3, 1))
    """

    def __init__(self, preset: ViewPreset) -> None:
        self.preset = preset
        self.operations = [name for name in (*GEOMETRIC, *COLORS) if getattr(preset, name) is not None]
        least, most = preset.pick
        self.least, self.most = least, len(self.operations) if most is None else min(most, len(self.operations))
        if not 0 <= self.least <= self.most:
            raise InputError(
                f"a preset of guidance views picks {least} to {'all' if most is None else most} operations and has "
                f"{len(self.operations)} ({', '.join(self.operations) or 'none'}): change its `pick` or add operations"
            )

    def draw(self, *, seed: int, epoch: int, index: np.ndarray) -> DrawnViews:
        """Draw for crops index (B,): a function of seed, epoch and crop index alone."""
        draws = Draws("views", seed=seed, epoch=epoch, index=index)
        picked = draws.some_of("pick", len(self.operations), self.least, self.most)
        jitter_turns, jitter_values = draw_jitter(draws, self.preset.jitter)
        return DrawnViews(
            turns={name: picked[:, place] for place, name in enumerate(self.operations)},
            values={name: _draw_values(draws, name, getattr(self.preset, name)) for name in self.operations},
            jitter_turns=jitter_turns,
            jitter_values=jitter_values,
            grayscale=draws.happens("grayscale", self.preset.grayscale_probability),
        )


def draw_jitter(draws: Draws, jitter: JitterParams | None) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Turns (B,) and values (B, 1) of brightness, contrast, saturation and hue, as torchvision's ColorJitter."""
    if jitter is None:
        return {}, {}
    order = draws.order("jitter order", len(JITTERS))
    turns = np.where(draws.happens("jitter", jitter.probability)[:, None], order, UNUSED)
    values = {"hue": draws.between("jitter hue", -jitter.hue, jitter.hue)}
    for name in JITTERS[:3]:
        most = getattr(jitter, name)
        values[name] = draws.between(f"jitter {name}", max(0.0, 1 - most), 1 + most)
    return {name: turns[:, place] for place, name in enumerate(JITTERS)}, values


def _draw_values(draws: Draws, name: str, given: Any) -> np.ndarray:
    """The values (B, p) float32 of an operation; `given` is its range in the preset."""
    match name, given:
        case "crop_vertical" | "crop_horizontal", float(most):  # top and bottom, or left and right, each on its own
            return draws.between(name, 0, most, 2)
        case "rotate", float(most):
            return draws.between(name, -most, most)
        case "perspective", (low, high):  # how far the corners move inwards: top left, then clockwise, each x and y
            sigma = draws.between("perspective sigma", low, high)
            return np.minimum(np.abs(draws.normal(name, 8)) * sigma, np.float32(_FARTHEST))
        case "piecewise_affine", (low, high):  # how far the points of the grid move, and stay in the crop: all x, all y
            sigma = draws.between("piecewise_affine sigma", low, high)
            moved = draws.normal(name, 2 * KNOTS**2) * sigma
            at = np.stack(np.meshgrid(*[np.linspace(0, 1, KNOTS, dtype=np.float32)] * 2, indexing="xy")).ravel()
            return np.clip(at + moved, 0, 1) - at
        case "sharpen", ((alpha_low, alpha_high), (light_low, light_high)):
            alpha = draws.between("sharpen alpha", alpha_low, alpha_high)
            return np.concatenate([alpha, draws.between("sharpen lightness", light_low, light_high)], axis=1)
        case "solarize", (low, high):  # threshold, and whether what is above it is inverted
            above = draws.happens("solarize above", 0.5).astype(np.float32)
            return np.concatenate([draws.between(name, low, high), above[:, None]], axis=1)
        case _, (low, high):
            return draws.between(name, low, high)
    raise TypeError(f"{name} = {given!r}")
