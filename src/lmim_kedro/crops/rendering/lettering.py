"""A word as a mask: letters set by a face, spaced, bent, warped to the size and frame of the crop."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from lmim_kedro.crops.rendering.draws import Draws
from lmim_kedro.crops.rendering.fonts import FACE_SIZE, face, glyph, writes
from lmim_kedro.crops.rendering.style import Style

LETTERS, MIX, OTHERS = 0, 1, 2
"""Channels of a strip: coverage by the word, which of two inks, coverage by rules, frames and other words."""
PAD = FACE_SIZE // 2
ROOM = FACE_SIZE * 2
"""Pixels about a word that has neighbors: no margin shows more."""
LEAST_INK = 0.45
"""Ink lower than this share of an em, as of a dash, is not scaled up to the full height."""
MOST_WIDE, MOST_HIGH = 700, 160
"""Pixels of the largest word; longer ones are drawn smaller."""


@dataclass
class Lettering:
    """A word set in a face.

    Attributes:
        strip: (h, w, 3) uint8: the channels LETTERS, MIX and OTHERS.
        box: left, top, right, bottom of the letters' ink in it.
        height: pixels of the letters before they are bent.
    """

    strip: np.ndarray
    box: tuple[int, int, int, int]
    height: float


def set_word(text: str, file: Path, draws: Draws, style: Style) -> Lettering:
    """Set a word: straight, spaced, bouncing, in small capitals or stacked.

    Args:
        text: characters that the face has.
        file: the face.

    Example:
        >>> from lmim_kedro.crops.rendering.fonts import Fonts
        >>> from lmim_kedro.crops.rendering.style import EASY
        >>> set_word("Inn", Fonts().files[0], Draws(0), EASY).strip.ndim
        3
    """
    if len(text) > 1 and draws.chance(style.stacked):
        return _stack(text, file, draws)
    small_caps = draws.chance(style.small_caps) and text[:1].isupper() and text.upper() != text
    small_caps = small_caps and writes(file, text.upper())
    spacing = draws.uniform(*style.spacing) * FACE_SIZE * 0.7 if draws.chance(style.spaced) else 0.0
    bounce = draws.uniform(*style.bounce) * FACE_SIZE if draws.chance(style.bouncing) else 0.0
    if small_caps:
        pieces, pen = _in_line(text[:1], file, 0.0, spacing)
        rest, _ = _in_line(text[1:].upper(), file, pen, spacing, FACE_SIZE * 4 // 5)
        pieces += rest
    else:
        pieces, _ = _in_line(text, file, 0.0, spacing)
    if bounce:
        pieces = [(ink, x, y + round(draws.about_zero(bounce))) for ink, x, y in pieces]
    word = _on_strip(pieces)
    if draws.chance(style.shaded):
        _shade(word, pieces, draws)
    return word


Pieces = list[tuple[np.ndarray, int, int]]
"""Masks of letters, with the place of their left top corner."""


def _in_line(text: str, file: Path, pen: float, spacing: float, size: int = FACE_SIZE) -> tuple[Pieces, float]:
    """Letters beside each other on one base line, from a pen on; and where the pen is then."""
    drop = face(file).getmetrics()[0] - face(file, size).getmetrics()[0]
    pieces = []
    for character in text:
        drawn = glyph(file, character, size)
        pieces.append((drawn.ink, round(pen) + drawn.left, drawn.top + drop))
        pen += max(drawn.advance + spacing, FACE_SIZE * 0.1)
    return pieces, pen


def _stack(text: str, file: Path, draws: Draws) -> Lettering:
    drawn = [glyph(file, character).ink for character in text]
    widest, gap = max(ink.shape[1] for ink in drawn), round(FACE_SIZE * draws.uniform(0.05, 0.3))
    pieces, pen = [], 0
    for ink in drawn:
        pieces.append((ink, (widest - ink.shape[1]) // 2, pen))
        pen += ink.shape[0] + gap
    word = _on_strip(pieces)
    return Lettering(word.strip, word.box, max(ink.shape[0] for ink in drawn))


def _on_strip(pieces: Pieces) -> Lettering:
    """Put letters on a strip, with PAD pixels about them."""
    ink, (left, top) = _joined(pieces)
    strip = np.zeros((ink.shape[0] + 2 * PAD, ink.shape[1] + 2 * PAD, 3), np.uint8)
    strip[PAD:-PAD, PAD:-PAD, LETTERS] = ink
    x, y, width, height = cv2.boundingRect(ink)
    box = (PAD + x, PAD + y, PAD + x + width, PAD + y + height)
    return Lettering(strip, box, max(height, LEAST_INK * FACE_SIZE))


def _joined(pieces: Pieces) -> tuple[np.ndarray, tuple[int, int]]:
    """One mask of all letters, and the place of its left top corner."""
    left, top = min(x for _, x, _ in pieces), min(y for _, _, y in pieces)
    right = max(x + ink.shape[1] for ink, x, _ in pieces)
    bottom = max(y + ink.shape[0] for ink, _, y in pieces)
    joined = np.zeros((bottom - top, right - left), np.uint8)
    for ink, x, y in pieces:
        part = joined[y - top : y - top + ink.shape[0], x - left : x - left + ink.shape[1]]
        np.maximum(part, ink, out=part)
    return joined, (left, top)


def _shade(word: Lettering, pieces: Pieces, draws: Draws) -> None:
    """Fill MIX: by turns, from top to bottom, from left to right, or split at a line."""
    left, top, right, bottom = word.box
    if len(pieces) > 1 and draws.chance(0.3):
        half = draws.integer(1, len(pieces) - 1)
        second = pieces[half:] if draws.chance(0.5) else pieces[1::2]  # two words in one, or every other letter
        start = min(x for _, x, _ in pieces) - PAD
        for ink, x, _ in second:
            word.strip[:, x - start : x - start + ink.shape[1], MIX] = 255
        return
    across = draws.chance(0.35)
    size, low, high = (word.strip.shape[1], left, right) if across else (word.strip.shape[0], top, bottom)
    ramp = np.clip((np.arange(size, dtype=np.float32) - low) / max(1, high - low), 0, 1)
    if draws.chance(0.4):
        ramp = (ramp > draws.uniform(0.3, 0.7)).astype(np.float32)
    shades = (ramp * 255).astype(np.uint8)
    word.strip[..., MIX] = shades[None, :] if across else shades[:, None]


def add_others(word: Lettering, words: list[str], file: Path, draws: Draws, style: Style) -> Lettering:
    """Add what stands about the word: other words of the same face, a rule, a frame."""
    rule, border = draws.chance(style.rule), draws.chance(style.border)
    if not (words or rule or border):
        return word
    strip = cv2.copyMakeBorder(word.strip, ROOM, ROOM, ROOM, ROOM, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    left, top, right, bottom = (end + ROOM for end in word.box)
    height, others = bottom - top, np.zeros(strip.shape[:2], np.uint8)
    for place, text in enumerate(words):
        ink, _ = _joined(_in_line(text, file, 0.0, 0.0)[0])
        gap = round(draws.uniform(0.3, 0.8) * FACE_SIZE)
        line = round(draws.uniform(0.12, 0.5) * FACE_SIZE)
        base = bottom - ink.shape[0] if draws.chance(0.7) else top
        shift = draws.integer(-ink.shape[1], right - left)
        where = {
            0: (left - gap - ink.shape[1], base),
            1: (right + gap, base),
            2: (left + shift, top - line - ink.shape[0]),
            3: (left + shift, bottom + line),
        }
        _paste(others, ink, *where[(place + draws.integer(0, 3)) % 4])
    if rule:
        y = bottom + draws.integer(3, 12) if draws.chance(0.7) else top - draws.integer(4, 12)
        cv2.line(
            others, (left - draws.integer(0, ROOM), y), (right + draws.integer(0, ROOM), y), 255, draws.integer(1, 4)
        )
    if border:
        gap = draws.integer(4, max(5, height // 3))
        cv2.rectangle(others, (left - gap, top - gap), (right + gap, bottom + gap), 255, draws.integer(1, 4))
    strip[..., OTHERS] = others
    return Lettering(strip, (left, top, right, bottom), word.height)


def _paste(canvas: np.ndarray, ink: np.ndarray, x: int, y: int) -> None:
    """Draw a mask at a place, cut at the edges of the canvas."""
    top, left, bottom, right = (
        max(y, 0),
        max(x, 0),
        min(y + ink.shape[0], canvas.shape[0]),
        min(x + ink.shape[1], canvas.shape[1]),
    )
    if top < bottom and left < right:
        part = canvas[top:bottom, left:right]
        np.maximum(part, ink[top - y : bottom - y, left - x : right - x], out=part)


def bend(word: Lettering, draws: Draws, style: Style) -> Lettering:
    """Bend a word along a circle or a wave, or let its letters grow toward the middle."""
    left, top, right, bottom = word.box
    if right - left < 1.5 * (bottom - top):
        return word
    if draws.chance(style.arc):
        return _on_circle(word, np.deg2rad(draws.uniform(*style.arc_angle)), draws.chance(0.4))
    if draws.chance(style.wave):
        size = draws.uniform(*style.wave_height) * (bottom - top)
        length = (right - left) / draws.uniform(0.5, 1.5)
        return _by_column(
            word, size * np.sin(draws.uniform(0, 2 * np.pi) + np.arange(word.strip.shape[1]) * 2 * np.pi / length)
        )
    if draws.chance(style.bulge):
        return _bulge(word, draws.uniform(*style.bulge_size), draws.integer(0, 2), draws.chance(0.6))
    return word


def _on_circle(word: Lettering, angle: float, below: bool) -> Lettering:
    """Set a word on a circle that it covers by an angle; `below`: along the lower half, so that the middle is low."""
    left, top, right, bottom = word.box
    strip = word.strip[::-1, ::-1] if below else word.strip
    if below:
        left, right, top, bottom = (
            strip.shape[1] - right,
            strip.shape[1] - left,
            strip.shape[0] - bottom,
            strip.shape[0] - top,
        )
    inner = max((right - left) / angle, 0.4 * (bottom - top))  # radius at the foot of the letters
    angle = (right - left) / inner
    outer = inner + (bottom - top)
    half = min(angle / 2, np.pi)
    wide = outer * np.sin(min(half, np.pi / 2))
    low = inner * np.cos(half) if half < np.pi / 2 else outer * np.cos(half)
    pad = PAD
    width, height = int(2 * (wide + pad)) + 1, int(outer - low + 2 * pad) + 1
    x = np.arange(width, dtype=np.float32) - wide - pad
    y = outer + pad - np.arange(height, dtype=np.float32)
    radius, theta = cv2.cartToPolar(
        np.broadcast_to(y[:, None], (height, width)).copy(), np.broadcast_to(x, (height, width)).copy()
    )
    theta = np.where(theta > np.pi, theta - 2 * np.pi, theta)
    columns = (theta * inner + (left + right) / 2).astype(np.float32)
    rows = (bottom - (radius - inner)).astype(np.float32)
    bent = cv2.remap(strip, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return _boxed(np.ascontiguousarray(bent[::-1, ::-1]) if below else bent, word)


def _by_column(word: Lettering, down: np.ndarray) -> Lettering:
    """Move every column of a word down by so many pixels."""
    height, width = word.strip.shape[:2]
    extra = int(np.ceil(np.abs(down).max()))
    rows = np.arange(height + 2 * extra, dtype=np.float32)[:, None] - extra - down.astype(np.float32)[None]
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), rows.shape).copy()
    return _boxed(
        cv2.remap(word.strip, columns, rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), word
    )


def _bulge(word: Lettering, size: float, edge: int, middle: bool) -> Lettering:
    """Stretch columns upward (edge 0), downward (1) or both ways (2), most in the middle or at the ends."""
    left, top, right, bottom = word.box
    height, width = word.strip.shape[:2]
    place = np.clip((np.arange(width) - (left + right) / 2) / (right - left) * 2, -1.2, 1.2)
    factor = 1 + size * (1 - place**2 if middle else place**2)
    anchor = {0: bottom, 1: top, 2: (top + bottom) / 2}[edge]
    extra = int(np.ceil(size * (bottom - top))) + 2
    rows = (np.arange(height + 2 * extra)[:, None] - extra - anchor) / factor[None] + anchor
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), rows.shape).copy()
    return _boxed(
        cv2.remap(word.strip, columns, rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), word
    )


def _boxed(strip: np.ndarray, word: Lettering) -> Lettering:
    x, y, width, height = cv2.boundingRect(strip[..., LETTERS])
    return Lettering(strip, (x, y, x + width, y + height), word.height) if width and height else word


@dataclass(frozen=True)
class Framed:
    """A word in the frame of its crop: (h, w, 3) uint8 masks as in a strip, and the pixels of its letters' height."""

    masks: np.ndarray
    height: float


def frame(word: Lettering, draws: Draws, style: Style) -> Framed:
    """Rotate, shear and tilt a word, scale it to its height in pixels and cut it out with its margins."""
    left, top, right, bottom = word.box
    height = draws.uniform(*(style.small_height if draws.chance(style.small) else style.height))
    scale = height / word.height
    stretch = draws.uniform(*style.stretch)
    shrink = min(1.0, MOST_WIDE / ((right - left) * scale * stretch), MOST_HIGH / ((bottom - top) * scale))
    scale, height = scale * shrink, height * shrink
    strip = word.strip
    if scale < 0.75:  # a camera averages over a pixel, bilinear sampling does not
        strip = cv2.resize(strip, None, fx=scale * stretch, fy=scale, interpolation=cv2.INTER_AREA)
    to_x, to_y = strip.shape[1] / word.strip.shape[1], strip.shape[0] / word.strip.shape[0]
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64) * [to_x, to_y]
    size = np.array([(right - left) * scale * stretch, (bottom - top) * scale])
    flat = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2
    angle = np.deg2rad(draws.about_zero(style.rotation))
    if draws.chance(style.turned):
        angle += np.pi / 2 * (1 if draws.chance(0.3) else -1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[1.0, draws.about_zero(style.shear)], [0.0, 1.0]])
    moved = flat @ (turn @ shear).T
    tilt = style.perspective
    moved += [[draws.about_zero(tilt) * height, draws.about_zero(tilt) * height] for _ in range(4)]
    moved = _drawn_together(moved, draws, tilt)
    margin = style.loose_margin if draws.chance(style.loose) else style.margin
    sides = np.array([draws.uniform(*margin) for _ in range(4)]) * height
    low = moved.min(0) - sides[:2]
    span = np.maximum(np.rint(moved.max(0) + sides[2:] - low), 4).astype(int)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), (moved - low).astype(np.float32))
    masks = cv2.warpPerspective(strip, matrix, (int(span[0]), int(span[1])), flags=cv2.INTER_LINEAR)
    return Framed(masks, height)


def _drawn_together(corners: np.ndarray, draws: Draws, tilt: float) -> np.ndarray:
    """Make one end of a word smaller, as that of a sign seen from the side."""
    if not draws.chance(tilt * 2):
        return corners
    nearer, amount = draws.chance(0.5), draws.uniform(0.1, 0.1 + 2 * tilt)
    first, second = ((0, 3), (1, 2))[nearer]
    middle = (corners[first] + corners[second]) / 2
    for corner in (first, second):
        corners[corner] += (middle - corners[corner]) * amount
    return corners
