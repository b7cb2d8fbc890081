"""A word as a mask: letters set by a face, spaced, bent, warped to the size and frame of the crop."""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from lmim_kedro.crops.rendering.draws import Draws
from lmim_kedro.crops.rendering.fonts import FACE_SIZE, face, glyph, writes
from lmim_kedro.crops.rendering.style import Style

LETTERS, MIX, OTHERS, PLATE = 0, 1, 2, 3
"""Channels of a strip: coverage by the word, which of two inks, coverage by rules, frames and other words, a plate."""
CHANNELS = 4
PAD = FACE_SIZE // 2
ROOM = FACE_SIZE * 2
"""Pixels about a word that has neighbors: no margin shows more."""
LEAST_INK = 0.45
"""Ink lower than this share of an em, as of a dash, is not scaled up to the full height."""
MOST_CUT = 0.15
"""Share of the word that its frame cuts off on one side: of a single letter, enough is left to tell which it is."""
MOST_WIDE, MOST_HIGH = 700, 160
"""Pixels of the largest word; longer ones are drawn smaller."""


@dataclass
class Lettering:
    """A word set in a face.

    Attributes:
        strip: (h, w, 4) uint8: the channels LETTERS, MIX, OTHERS and PLATE.
        box: left, top, right, bottom of the letters' ink in it.
        height: pixels of the letters before they are bent.
        two_grounds: whether MIX parts the ground too.
        crowded: whether OTHERS holds other words.
    """

    strip: np.ndarray
    box: tuple[int, int, int, int]
    height: float
    two_grounds: bool = False
    crowded: bool = False

    @property
    def edge(self) -> int:
        """What OpenCV takes for pixels beyond the strip."""
        return cv2.BORDER_REPLICATE if self.two_grounds else cv2.BORDER_CONSTANT


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
    if len(pieces) > 1 and draws.chance(style.two_grounds):
        _part(word, pieces, draws)
    elif draws.chance(style.shaded):
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
    strip = np.zeros((ink.shape[0] + 2 * PAD, ink.shape[1] + 2 * PAD, CHANNELS), np.uint8)
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


def _part(word: Lettering, pieces: Pieces, draws: Draws) -> None:
    """Fill MIX from the middle between two letters on, for a second ink on a second ground."""
    first = draws.integer(1, len(pieces) - 1)
    start = min(x for _, x, _ in pieces) - PAD
    (ink, x, _), (_, after, _) = pieces[first - 1], pieces[first]
    word.strip[:, (x + ink.shape[1] + after) // 2 - start :, MIX] = 255
    word.two_grounds = True


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
    """Add what stands about the word: other words of the same face, a rule, a frame, a plate."""
    rule, border, plate = draws.chance(style.rule), draws.chance(style.border), draws.chance(style.plate)
    if not (words or rule or border or plate):
        return word
    strip = cv2.copyMakeBorder(word.strip, ROOM, ROOM, ROOM, ROOM, word.edge)
    left, top, right, bottom = (end + ROOM for end in word.box)
    height, others = bottom - top, np.zeros(strip.shape[:2], np.uint8)
    for place, text in enumerate(words):
        ink, _ = _joined(_in_line(text, file, 0.0, 0.0)[0])
        if draws.chance(0.3):  # a line of another size
            size = draws.uniform(0.45, 1.5)
            shape = [max(1, round(pixels * size)) for pixels in ink.shape[::-1]]
            ink = cv2.resize(ink, shape, interpolation=cv2.INTER_AREA)
        gap = round(draws.uniform(0.2, 0.6) * FACE_SIZE)
        line = round(draws.uniform(0.08, 0.4) * FACE_SIZE)
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
    if plate:
        strip[..., PLATE] = _plate(others.shape, (left, top, right, bottom), draws)
    return replace(word, strip=strip, box=(left, top, right, bottom), crowded=bool(words))


def _plate(shape: tuple[int, int], box: tuple[int, int, int, int], draws: Draws) -> np.ndarray:
    """(h, w) uint8: a plate about a box, with round corners."""
    left, top, right, bottom = box
    wide, high = (round(draws.uniform(0.08, 0.45) * (bottom - top)) for _ in range(2))
    radius = draws.integer(0, max(0, min(wide, high, ROOM // 2)))
    first = left - wide + radius, top - high + radius
    second = right + wide - radius, bottom + high - radius
    plate = np.zeros(shape, np.uint8)
    cv2.rectangle(plate, first, second, 255, -1)
    if radius:
        cv2.rectangle(plate, first, second, 255, 2 * radius)  # a thick line has round corners
    return plate


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
        angle, turn = draws.uniform(*style.arc_angle), draws.about_zero(style.arc_turn)
        return _on_circle(word, np.deg2rad(angle), draws.chance(0.4), np.deg2rad(turn))
    if draws.chance(style.wave):
        size = draws.uniform(*style.wave_height) * (bottom - top)
        length = (right - left) / draws.uniform(0.5, 1.5)
        return _by_column(
            word, size * np.sin(draws.uniform(0, 2 * np.pi) + np.arange(word.strip.shape[1]) * 2 * np.pi / length)
        )
    if draws.chance(style.bulge):
        return _bulge(word, draws.uniform(*style.bulge_size), draws.integer(0, 2), draws.chance(0.6))
    return word


def _on_circle(word: Lettering, angle: float, below: bool, turn: float) -> Lettering:
    """Set a word on a circle that it covers by an angle.

    Args:
        below: along the lower half, so that the middle is low.
        turn: radians from the circle's top (or bottom) to the middle of the word.
    """
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
    along = np.linspace(turn - half, turn + half, 33)
    across, up = (np.multiply.outer((inner, outer), side(along)) for side in (np.sin, np.cos))
    x = np.arange(across.min() - PAD, across.max() + PAD, dtype=np.float32)
    y = np.arange(up.max() + PAD, up.min() - PAD, -1, dtype=np.float32)
    height, width = len(y), len(x)
    radius, theta = cv2.cartToPolar(
        np.broadcast_to(y[:, None], (height, width)).copy(), np.broadcast_to(x, (height, width)).copy()
    )
    theta = (theta - np.float32(turn) + np.float32(np.pi)) % np.float32(2 * np.pi) - np.float32(np.pi)
    columns = (theta * inner + (left + right) / 2).astype(np.float32)
    rows = (bottom - (radius - inner)).astype(np.float32)
    bent = cv2.remap(strip, columns, rows, cv2.INTER_LINEAR, borderMode=word.edge)
    return _boxed(np.ascontiguousarray(bent[::-1, ::-1]) if below else bent, word)


def _by_column(word: Lettering, down: np.ndarray) -> Lettering:
    """Move every column of a word down by so many pixels."""
    height, width = word.strip.shape[:2]
    extra = int(np.ceil(np.abs(down).max()))
    rows = np.arange(height + 2 * extra, dtype=np.float32)[:, None] - extra - down.astype(np.float32)[None]
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), rows.shape).copy()
    return _boxed(cv2.remap(word.strip, columns, rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=word.edge), word)


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
    return _boxed(cv2.remap(word.strip, columns, rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=word.edge), word)


def _boxed(strip: np.ndarray, word: Lettering) -> Lettering:
    x, y, width, height = cv2.boundingRect(strip[..., LETTERS])
    return replace(word, strip=strip, box=(x, y, x + width, y + height)) if width and height else word


@dataclass(frozen=True)
class Framed:
    """A word in the frame of its crop.

    Attributes:
        masks: (h, w, 4) uint8, the channels of a strip.
        height: pixels of the letters.
        two_grounds: whether MIX parts the ground too.
    """

    masks: np.ndarray
    height: float
    two_grounds: bool = False


def frame(word: Lettering, draws: Draws, style: Style) -> Framed:
    """Shear, rotate and tilt a word, scale it to its height in pixels and cut it out with its margins."""
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
    if draws.chance(style.oblique):
        moved = _seen_from_the_side(moved, draws, style)
    else:
        moved = _drawn_together(moved, draws, tilt)
    sides = np.array(_margins(word, draws, style)) * height
    sides = np.maximum(sides, -MOST_CUT * np.tile(np.ptp(moved, axis=0), 2))
    low = moved.min(0) - sides[:2]
    span = np.maximum(np.rint(moved.max(0) + sides[2:] - low), 4).astype(int)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), (moved - low).astype(np.float32))
    masks = cv2.warpPerspective(strip, matrix, span.tolist(), flags=cv2.INTER_LINEAR, borderMode=word.edge)
    return Framed(masks, height, word.two_grounds)


def _margins(word: Lettering, draws: Draws, style: Style) -> list[float]:
    """The ground beyond the letters on the left, top, right and bottom, as shares of the height of the letters."""
    usual = style.loose_margin if draws.chance(style.loose) else style.margin
    tight = draws.chance(style.tight)
    crowded = style.crowded if word.crowded and not tight else 0.0
    margins = []
    for _ in range(4):
        margin = style.loose_margin if draws.chance(crowded) else usual
        margins.append(draws.uniform(*(style.tight_margin if tight and draws.chance(0.5) else margin)))
    return margins


def _seen_from_the_side(corners: np.ndarray, draws: Draws, style: Style) -> np.ndarray:
    """The corners as a camera sees them that stands beside the sign, and below or above it."""
    yaw = np.deg2rad(draws.uniform(*style.oblique_angle)) * (1 if draws.chance(0.5) else -1)
    pitch = np.deg2rad(draws.about_zero(style.oblique_tilt))
    distance = np.ptp(corners, axis=0).max() * draws.uniform(1.2, 3.0)
    x, y = corners.T
    x, far = x * np.cos(yaw), x * np.sin(yaw)
    y, far = y * np.cos(pitch) - far * np.sin(pitch), y * np.sin(pitch) + far * np.cos(pitch)
    return np.stack([x, y], 1) * (distance / (distance + far))[:, None]


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
