"""A contact sheet of guidance views: what an eye needs to see that a view is the same text in another appearance."""

from __future__ import annotations

import cv2
import numpy as np

_CELL = (192, 48)
"""Most pixels of one picture, width and height."""

_LINE = 2
_GAP = 6
_PAPER = 255


def contact_sheet(crops: np.ndarray, views: np.ndarray, aspect: np.ndarray | None = None) -> np.ndarray:
    """Draw each crop beside its views, a row per crop.

    Args:
        crops: (N, 3, H, W) uint8.
        views: (N, V, 3, H, W) floats in [0, 1].
        aspect: (N,) width / height of each crop before it was squeezed: all pictures of its row get it back. None:
            they are drawn as the encoder sees them.

    Returns:
        (H', W', 3) uint8.
    """
    count, shown = views.shape[:2]
    height, width = crops.shape[2:]
    ratios = np.full(count, width / height) if aspect is None else aspect
    rows = []
    for crop, its_views, ratio in zip(crops, views, ratios, strict=True):
        pictures = [crop, *np.rint(its_views * 255).clip(0, 255).astype(np.uint8)]
        cells = [_cell(picture, float(ratio)) for picture in pictures]
        line = np.full((_CELL[1], _LINE, 3), _PAPER, np.uint8)
        gap = np.full((_CELL[1], _GAP, 3), _PAPER, np.uint8)
        row = [cells[0]] + [part for number, cell in enumerate(cells[1:]) for part in (line if number else gap, cell)]
        rows.append(np.concatenate(row, axis=1))
    if not rows:
        return np.full((_LINE, _CELL[0] * (shown + 1), 3), _PAPER, np.uint8)
    between = np.full((_LINE, rows[0].shape[1], 3), _PAPER, np.uint8)
    return np.concatenate([part for row in rows for part in (row, between)][:-1], axis=0)


def _cell(picture: np.ndarray, ratio: float) -> np.ndarray:
    """A picture (3, H, W) in its aspect ratio, as large as fits, in the middle of a cell."""
    width = min(_CELL[0], max(1, round(_CELL[1] * ratio)))
    height = min(_CELL[1], max(1, round(_CELL[0] / ratio)))
    cell = np.full((_CELL[1], _CELL[0], 3), _PAPER, np.uint8)
    top, left = (_CELL[1] - height) // 2, (_CELL[0] - width) // 2
    drawn = cv2.resize(np.ascontiguousarray(picture.transpose(1, 2, 0)), (width, height), interpolation=cv2.INTER_CUBIC)
    cell[top : top + height, left : left + width] = drawn
    return cell
