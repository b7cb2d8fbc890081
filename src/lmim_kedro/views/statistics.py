"""Measures a preset: how different its views look, and how much of the text stays in the frame.

Sums over pixels and crops are NumPy's in float64: torch sums in an order that depends on the number of threads.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lmim_kedro.params import ViewPreset
from lmim_kedro.views.color import gray
from lmim_kedro.views.geometry import Geometry
from lmim_kedro.views.guidance import GuidanceViews, to_unit

_FINER = (4, 2)  # points sampled per pixel of a view, down and across, to find which part of a crop the view shows
_COARSER = 2  # pixels per side of a cell of the crop; a cell is either shown or not
_MIDDLE = 0.5  # share of height and width that counts as the middle of a crop


def describe(preset: ViewPreset, crops: Tensor, aspect: Tensor, *, seed: int, index: np.ndarray) -> pd.DataFrame:
    """Measure a preset as a whole (row `all`) and each of its operations alone.

    Args:
        preset: preset of the guidance views.
        crops: (B, 3, H, W) uint8 crops.
        aspect, seed, index: as for GuidanceViews.

    Returns:
        a table with the columns operation, picked (share of the crops that get it; for `all`: operations per crop),
        difference (mean absolute difference of view and crop, both with mean = std = 0.5: 0 to 2), gray_correlation
        (of view and crop over pixels; mean over crops that have more than one color), strokes_inside (share of the
        crop's gradient energy that the view shows), middle_inside (share of the crop's middle that it shows).

    Example:
        >>> crops, index = torch.randint(0, 256, (2, 3, 32, 128), dtype=torch.uint8), np.arange(2)
        >>> table = describe(ViewPreset(pick=(1, 1), rotate=10), crops, torch.full((2,), 4.0), seed=0, index=index)
        >>> table["operation"].tolist()
        ['all', 'rotate']
    """
    drawn = GuidanceViews(preset).policy.draw(seed=seed, epoch=0, index=index)
    picked = {name: float((turns >= 0).mean()) for name, turns in drawn.turns.items()}
    alone = {name: ViewPreset.model_validate({"pick": (1, None), name: getattr(preset, name)}) for name in picked}
    if preset.jitter is not None:
        picked["jitter"] = preset.jitter.probability
        always = preset.jitter.model_copy(update={"probability": 1.0})
        alone["jitter"] = ViewPreset(pick=(0, None), jitter=always)
    if preset.grayscale_probability:
        picked["grayscale"] = preset.grayscale_probability
        alone["grayscale"] = ViewPreset(pick=(0, None), grayscale_probability=1.0)
    picked["all"] = sum(picked[name] for name in drawn.turns)
    measured = {"all": preset, **alone}.items()
    return pd.DataFrame(
        {"operation": name, "picked": picked[name], **_measure(only, crops, aspect, seed, index)}
        for name, only in measured
    )


def _measure(preset: ViewPreset, crops: Tensor, aspect: Tensor, seed: int, index: np.ndarray) -> dict[str, float]:
    drawing, images = GuidanceViews(preset), to_unit(crops)
    views = drawing(crops, aspect, seed=seed, epoch=0, index=index)
    geometry = drawing.geometry(drawing.policy.draw(seed=seed, epoch=0, index=index), aspect)
    strokes, middle = (1.0, 1.0) if geometry is None else inside(geometry, images)
    return {
        "difference": float((views - images).abs().numpy().mean(dtype=np.float64)) * 2,
        "gray_correlation": _correlation(gray(views), gray(images)),
        "strokes_inside": strokes,
        "middle_inside": middle,
    }


def inside(geometry: Geometry, images: Tensor) -> tuple[float, float]:
    """Shares of stroke energy and of the middle of crops (B, 3, H, W) that their views show; means over crops."""
    height, width = images.shape[-2:]
    rows, columns = height // _COARSER, width // _COARSER
    points = geometry.points(height * _FINER[0], width * _FINER[1])
    x, y = points[..., 0] * columns, points[..., 1] * rows
    seen = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    cell = y.clamp(0, rows - 1).long() * columns + x.clamp(0, columns - 1).long()
    shown = torch.zeros(len(images), rows * columns).index_put_(
        (torch.arange(len(images))[:, None], cell.flatten(1)), seen.flatten(1).float(), accumulate=True
    )
    shown = shown.view(-1, rows, columns) > 0
    down, across = torch.gradient(gray(images), dim=(2, 3))
    energy = torch.nn.functional.avg_pool2d(down.square() + across.square(), _COARSER)[:, 0].double().numpy()
    whole, seen_energy = energy.sum((1, 2)), (energy * shown.numpy()).sum((1, 2))
    strokes = seen_energy[whole > 0] / whole[whole > 0]
    top, left = round(rows * _MIDDLE / 2), round(columns * _MIDDLE / 2)
    middle = shown.numpy()[:, top : rows - top, left : columns - left].mean()
    return (float(strokes.mean()) if len(strokes) else 1.0), float(middle)


def _correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's correlation of images (B, 1, H, W), per crop over its pixels; mean over crops where it is defined."""
    a, b = (images.flatten(1).double().numpy() for images in (one, other))
    a, b = (values - values.mean(1, keepdims=True) for values in (a, b))
    size = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    defined = size > 1e-6
    return float(((a * b).sum(1)[defined] / size[defined]).mean()) if defined.any() else float("nan")
