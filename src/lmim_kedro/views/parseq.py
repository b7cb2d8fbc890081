"""PARSeq's RandAugment, the augmentation of fine-tuning's preset `strong`, for a whole batch at once."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.views import color, filters
from lmim_kedro.views.draws import UNUSED, Draws, Operation, apply_in_turn, close_ranks, move
from lmim_kedro.views.geometry import Geometry, compose, grown_canvas, linear_map, rotation, slanted_map
from lmim_kedro.views.guidance import to_unit

LAYERS = 3  # operations picked for each crop, none of them twice
PROBABILITY = 0.5  # of a picked operation to be applied
MAGNITUDE = 0.5  # share of the largest strengths; PARSeq always uses 5 of 10
BEYOND = 128 / 255  # gray of the area beyond the crop

SIGNED = {
    "rotate": 30 * MAGNITUDE,  # degrees; the canvas grows to fit
    "shear_x": 0.9 * MAGNITUDE,  # pixels per pixel
    "shear_y": 0.2 * MAGNITUDE,
    "translate_x": 0.1 * MAGNITUDE,  # share of the width
    "translate_y": 0.3 * MAGNITUDE,  # share of the height
    "color": 0.9 * MAGNITUDE,  # of these three, the distance of a factor from 1
    "contrast": 0.9 * MAGNITUDE,
    "brightness": 0.9 * MAGNITUDE,
}
"""Operations with a strength to either side, each for half of the crops."""

FIXED: dict[str, tuple[float, ...]] = {
    "auto_contrast": (),
    "equalize": (),
    "invert": (),
    "posterize": (2.0 ** (8 - (4 - 4 * MAGNITUDE)),),  # keeps two of eight bits
    "solarize": (256 - 256 * MAGNITUDE, 1),  # threshold, of 255; lighter pixels are inverted
    "solarize_add": (np.floor(110 * MAGNITUDE),),  # of 255; added to pixels darker than the middle
    "blur": (4 * MAGNITUDE,),  # sigma, pixels
    "noise": (40 * MAGNITUDE + 1,),  # mean of the Poisson number, of 255; PARSeq makes it odd
}
"""Operations with the same values for all crops."""

OPERATIONS = (*SIGNED, *FIXED)
MOVING = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
PIXELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "color": color.saturation,
    "contrast": color.contrast_about_mean,
    "brightness": color.brightness,
    "auto_contrast": color.auto_contrast,
    "equalize": color.equalize,
    "invert": color.invert,
    "posterize": color.posterize,
    "solarize": color.solarize,
    "solarize_add": color.solarize_add,
    "blur": filters.gaussian_blur,
    "noise": filters.poisson_noise,
}


class ParseqAugmentation:
    """Picks three of sixteen operations for each crop, and applies each with p 0.5, at half of its largest strength.

    The operations are those of timm's RandAugment that grow with magnitude, without sharpness, and blur and noise
    (Bautista and Atienza, ECCV 2022; their released code). The draws depend on (seed, epoch, crop index) alone; the
    size that augmentations are built with changes nothing. PARSeq differs in three ways: here geometry comes before
    color (each keeps its own order); blur and noise act on the resized crop, since its first size is not known here
    (PARSeq's are as strong in crops of 32 x 128, and weaker in larger ones); resampling is bilinear.

    Example:
        >>> crops, given = torch.zeros(2, 3, 32, 128, dtype=torch.uint8), {"seed": 0, "epoch": 0, "index": np.arange(2)}
        >>> ParseqAugmentation()(crops, torch.full((2,), 4.0), **given).shape
        torch.Size([2, 3, 32, 128])
    """

    def __init__(self, height: int = 32, width: int = 128) -> None:
        pass

    def __call__(self, images: Tensor, aspect: Tensor, *, seed: int, epoch: int, index: np.ndarray) -> Tensor:
        """Augment each crop, with the arguments and result of GuidanceViews."""
        draws = Draws("parseq", seed=seed, epoch=epoch, index=index)
        turns = draw_turns(draws)
        views = to_unit(images)
        views = views.clone() if views is images else views
        rows = np.flatnonzero(np.any([turns[name] != UNUSED for name in MOVING], axis=0))
        if len(rows):  # less than half of the crops; the others are not sampled again
            (here,) = move([rows], views.device)
            moved = Draws("parseq", seed=seed, epoch=epoch, index=index[rows])
            geometry = self.geometry(moved, {name: turns[name][rows] for name in MOVING}, aspect.cpu()[rows])
            views.index_copy_(0, here, geometry.to(views.device).sample(views.index_select(0, here), BEYOND))
        return apply_in_turn(views, self.pixels(draws, turns))

    def geometry(self, draws: Draws, turns: dict[str, np.ndarray], aspect: Tensor) -> Geometry:
        """Where the pixels of each augmented crop lie in the crop; turns (B,) from `draw_turns`, aspect (B,)."""
        rotated_before = [
            ((turns["rotate"] != UNUSED) & (turns["rotate"] < turns[name])).astype(np.float32) for name in MOVING[1:]
        ]
        given = [torch.from_numpy(each) for each in (*(draw_signed(draws, name) for name in MOVING), *rotated_before)]
        values, after_rotation = given[: len(MOVING)], given[len(MOVING) :]
        turned = rotation(values[0])
        width, height = grown_canvas(turned, aspect).unbind(1)
        slants = [
            slanted_map(value, name, torch.where(after > 0, width / height, aspect))
            for name, value, after in zip(MOVING[1:], values[1:], after_rotation, strict=True)
        ]
        order = np.stack([turns[name] for name in MOVING], 1)
        return Geometry(compose([linear_map(turned, aspect), *slants], order, aspect))

    def pixels(self, draws: Draws, turns: dict[str, np.ndarray]) -> list[Operation]:
        """Operations on pixels, with turns (B,) from `draw_turns`."""
        values = {name: 1 + draw_signed(draws, name)[:, None] for name in SIGNED if name not in MOVING}
        values |= {name: np.tile(np.array(given, np.float32), (len(draws), 1)) for name, given in FIXED.items()}
        values["blur"] = filters.gaussian_taps(values["blur"], radius=5)
        values["noise"] = np.concatenate([values["noise"], draws.uniform("noise keys", 2)], 1)
        order = close_ranks(np.stack([turns[name] for name in PIXELS], 1)).T
        given = zip(PIXELS.items(), order, strict=True)
        return [Operation(change, values[name], its, range(LAYERS)) for (name, change), its in given]


def draw_turns(draws: Draws) -> dict[str, np.ndarray]:
    """The turn (B,) of each operation; UNUSED for crops that do not get it."""
    turns = draws.some_of("operations", len(OPERATIONS), LAYERS, LAYERS)
    done = draws.uniform("done", len(OPERATIONS)) < PROBABILITY
    return {name: np.where(done[:, place], turns[:, place], UNUSED) for place, name in enumerate(OPERATIONS)}


def draw_signed(draws: Draws, name: str) -> np.ndarray:
    """The strength (B,) float32 of an operation, to one side or the other."""
    stream = "colour" if name == "color" else name  # a stream's name is part of its seed: renamed, it draws otherwise
    return np.where(draws.happens(f"{stream} side", 0.5), -1, 1).astype(np.float32) * np.float32(SIGNED[name])
