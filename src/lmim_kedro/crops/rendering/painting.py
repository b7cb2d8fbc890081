"""Colors: grounds with what is on them, and letters in their inks, edges, shadows and lights."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from lmim_kedro.crops.rendering.draws import Draws
from lmim_kedro.crops.rendering.lettering import Framed
from lmim_kedro.crops.rendering.style import Style

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
LAMPS = np.array([[255, 60, 30], [255, 150, 30], [90, 255, 70], [250, 250, 240], [80, 160, 255]], np.float32)
"""Colors of lamps; RGB, of 255."""
HUES = np.array(
    [
        *([200, 30, 35], [225, 60, 45], [180, 25, 30], [240, 130, 30], [245, 205, 40], [235, 190, 70]),
        *([120, 180, 50], [20, 120, 70], [20, 130, 140], [40, 120, 200], [20, 60, 150], [30, 80, 170]),
        *([90, 50, 140], [200, 60, 130], [130, 80, 45], [110, 90, 60]),
    ],
    np.float32,
)
"""Hues that paint and signs have; RGB, of 255."""
LEAST_HOLLOW = 18
"""Pixels; in smaller letters, an outline leaves no inside to see."""


def draw_color(draws: Draws, colorful: float) -> np.ndarray:
    """A color that a sign may have: gray, or a hue made lighter, darker and duller."""
    if not draws.chance(colorful):
        gray = draws.pick((draws.uniform(0, 60), draws.uniform(200, 255), draws.uniform(40, 220)))
        tint = np.array([draws.about_zero(12), draws.about_zero(8), draws.about_zero(14)], np.float32)
        return np.clip(gray + tint, 0, 255)
    color = HUES[draws.integer(0, len(HUES) - 1)] + np.array([draws.about_zero(35) for _ in range(3)], np.float32)
    dull = draws.uniform(0, 0.6)
    color = color * (1 - dull) + float(color @ LUMA) * dull
    return np.clip(color * draws.uniform(0.45, 1.15), 0, 255)


def with_luma(color: np.ndarray, luma: float) -> np.ndarray:
    """The color made lighter toward white or darker toward black until its luma is this, of 255."""
    now = float(color @ LUMA)
    if now > luma:
        return color * (luma / now)
    return color + (255 - color) * ((luma - now) / max(255 - now, 1e-3))


@dataclass(frozen=True)
class Inks:
    """Colors of a crop, RGB of 255: both inks differ from the ground one way, the first by `contrast` in luma."""

    ground: np.ndarray
    first: np.ndarray
    second: np.ndarray
    contrast: float


def draw_inks(draws: Draws, style: Style) -> Inks:
    """Draw the ground, and inks that are lighter or darker by the contrast of the style."""
    ground = draw_color(draws, style.colored_ground)
    luma = float(ground @ LUMA)
    contrast = draws.uniform(*style.contrast)
    lighter = draws.chance(0.5) if contrast <= min(luma, 255 - luma) else luma < 127.5
    room = 255 - luma if lighter else luma
    contrast, way = min(contrast, room), 1 if lighter else -1
    first = with_luma(draw_color(draws, style.colorful), luma + way * contrast)
    second = with_luma(draw_color(draws, 0.8), luma + way * min(contrast * draws.uniform(0.75, 1.25), room))
    return Inks(ground, first, second, contrast)


def draw_lamps(draws: Draws) -> Inks:
    """Draw a ground that is nearly black, and lamps in one color."""
    ground, lamp = draw_color(draws, 0.5), LAMPS[draws.integer(0, len(LAMPS) - 1)]
    ground = with_luma(ground, draws.uniform(4, 45))
    return Inks(ground, lamp, lamp, float((lamp - ground) @ LUMA))


def draw_backlit(draws: Draws) -> Inks:
    """Draw a dark ground, and letters nearly as bright as the camera can tell."""
    ground = with_luma(draw_color(draws, 0.6), draws.uniform(6, 95))
    first, second = (with_luma(draw_color(draws, 0.6), draws.uniform(205, 254)) for _ in range(2))
    return Inks(ground, first, second, float((first - ground) @ LUMA))


def paint_ground(
    shape: tuple[int, int], height: float, inks: Inks, draws: Draws, style: Style, photo: np.ndarray | None = None
) -> np.ndarray:
    """A ground, (3, h, w) float32 RGB: plain, graded, spotted, grained, striped, a blurred photograph, with clutter.

    Args:
        shape: h, w.
        height: pixels of the letters, by which spots and stripes are sized.
        inks: the color of its middle, and the contrast that what is on it has to stay below.
        photo: (h', w', 3) uint8 that is used, blurred, where one is given.
    """
    ground = np.empty((3, *shape), np.float32)
    ground[:] = inks.ground[:, None, None]
    if photo is not None:
        ground += _blurred(photo, shape, inks.contrast, draws)
    if draws.chance(style.gradient):
        ground += _gradient(shape, draws.uniform(*style.gradient_strength) * inks.contrast, draws)
    if draws.chance(style.texture):
        ground += _texture(shape, height, draws.uniform(*style.texture_strength) * inks.contrast, draws)
    if draws.chance(style.panel):
        _panel(ground, draws)
    if draws.chance(style.clutter):
        _clutter(ground, height, inks, draws)
    return ground


def _blurred(photo: np.ndarray, shape: tuple[int, int], contrast: float, draws: Draws) -> np.ndarray:
    """A photograph as differences from its middle: so small first that no word of it can be read."""
    rows = draws.integer(2, 4)
    small = cv2.resize(photo, (max(2, rows * shape[1] // max(1, shape[0])), rows), interpolation=cv2.INTER_AREA)
    wide = cv2.resize(small.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    wide -= wide.mean((0, 1))
    return wide.transpose(2, 0, 1) * min(1.0, draws.uniform(0.15, 0.4) * contrast / max(1.0, float(wide.std())))


def _gradient(shape: tuple[int, int], strength: float, draws: Draws) -> np.ndarray:
    angle = draws.uniform(0, 2 * np.pi)
    tint = np.array([1 + draws.about_zero(0.3), 1, 1 + draws.about_zero(0.3)], np.float32)
    return (_slope(shape, angle) * np.float32(strength)) * tint[:, None, None]


def _slope(shape: tuple[int, int], angle: float) -> np.ndarray:
    """(h, w) float32 that rises in a direction, by 1 from edge to edge."""
    y = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(np.sin(angle) / shape[0])
    x = np.arange(shape[1], dtype=np.float32)[None] * np.float32(np.cos(angle) / shape[1])
    return y + x - np.float32((np.sin(angle) + np.cos(angle)) / 2)


def _texture(shape: tuple[int, int], height: float, strength: float, draws: Draws) -> np.ndarray:
    kind = draws.pick((0, 1, 1, 2, 3, 3))  # fine grain is rarest
    if kind == 3:  # stripes, planks, bricks
        angle, period = draws.pick((0, np.pi / 2, draws.uniform(0, np.pi))), height * draws.uniform(0.2, 0.9)
        y = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(np.sin(angle) / period)
        x = np.arange(shape[1], dtype=np.float32)[None] * np.float32(np.cos(angle) / period)
        phase = y + x + np.float32(draws.share())
        return np.where(phase - np.floor(phase) < draws.uniform(0.08, 0.5), np.float32(-strength), np.float32(0))
    cell = height * (draws.uniform(0.08, 0.2) if kind == 0 else draws.uniform(0.3, 1.2))
    rows, columns = max(2, round(shape[0] / cell)), max(2, round(shape[1] / cell))
    if kind == 2:  # brushed
        rows, columns = rows * 3, 2
    spots = draws.noise(rows, columns) * np.float32(strength)
    return cv2.resize(spots, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)


def _panel(ground: np.ndarray, draws: Draws) -> None:
    """Paint another color beyond a line near one edge."""
    height, width = ground.shape[1:]
    slope = draws.about_zero(0.2)
    if draws.chance(0.7):
        at = height * draws.pick((draws.uniform(0.0, 0.18), draws.uniform(0.82, 1.0)))
        far = -9 if at < height / 2 else height + 9
        outline = [(0, at), (width, at + slope * height), (width, far), (0, far)]
    else:
        at = width * draws.pick((draws.uniform(0.0, 0.08), draws.uniform(0.92, 1.0)))
        far = -9 if at < width / 2 else width + 9
        outline = [(at, 0), (at + slope * height, height), (far, height), (far, 0)]
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 255, cv2.LINE_AA)
    _lay(ground, mask, draw_color(draws, 0.5))


def _clutter(ground: np.ndarray, height: float, inks: Inks, draws: Draws) -> None:
    """Draw a few lines, boxes or ellipses in colors near that of the ground."""
    rows, columns = ground.shape[1:]
    most = 0.6 * inks.contrast
    for _ in range(draws.integer(1, 3)):
        color = np.clip(inks.ground + np.array([draws.about_zero(most) for _ in range(3)], np.float32), 0, 255)
        first = draws.integer(-columns // 8, columns), draws.integer(-rows // 4, rows)
        second = draws.integer(0, columns), draws.integer(0, rows)
        thick = max(1, round(height * draws.uniform(0.03, 0.2)))
        mask = np.zeros((rows, columns), np.uint8)
        match draws.integer(0, 2):
            case 0:
                cv2.line(mask, first, second, 255, thick, cv2.LINE_AA)
            case 1:
                cv2.rectangle(mask, first, second, 255, draws.pick((-1, thick)))
            case _:
                axes = draws.integer(rows // 4 + 1, rows + 1), draws.integer(rows // 4 + 1, rows + 1)
                cv2.ellipse(mask, second, axes, 0, 0, 360, 255, draws.pick((-1, thick)), cv2.LINE_AA)
        _lay(ground, mask, color)


def paint(word: Framed, draws: Draws, style: Style, photo: np.ndarray | None = None) -> np.ndarray:
    """The word on its ground, (3, h, w) float32 RGB of 255.

    Example:
        >>> from lmim_kedro.crops.rendering.style import EASY
        >>> paint(Framed(np.zeros((32, 100, 4), np.uint8), 20.0), Draws(0), EASY).shape
        (3, 32, 100)
    """
    dotted, backlit = draws.chance(style.dotted), draws.chance(style.backlit)
    inks = _draw_inks(dotted and draws.chance(style.led), backlit, draws, style)
    letters, mix, others, plate = cv2.split(word.masks)
    picture = paint_ground(letters.shape, word.height, inks, draws, style, photo)
    if word.two_grounds:
        other = draw_inks(draws, style)
        _tint(picture, mix, other.ground - inks.ground)
        inks = replace(inks, second=other.first)
    if cv2.hasNonZero(plate):
        _tint(picture, 255 - plate, draw_color(draws, style.colored_ground) - inks.ground)
        if draws.chance(0.3):  # its edge
            _lay(picture, cv2.morphologyEx(plate, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)), inks.first)
    if cv2.hasNonZero(others):
        own = draws.chance(0.65)
        _lay(picture, others, inks.first if own else draw_color(draws, style.colorful))
    if dotted:
        letters = _dots(letters, word.height, draws)
    if backlit:  # light spreads, and wears thin letters out of shape
        halo = cv2.GaussianBlur(letters, (0, 0), max(0.5, word.height * draws.uniform(0.03, 0.12)))
        letters = cv2.addWeighted(letters, 1, halo, draws.uniform(0.2, 0.9), 0)
    picture = write(picture, letters, mix, word.height, inks, draws, style)
    if draws.chance(style.crossed):
        _cross(picture, word.height, draws)
    return picture


def _draw_inks(lamps: bool, backlit: bool, draws: Draws, style: Style) -> Inks:
    if lamps:
        return draw_lamps(draws)
    return draw_backlit(draws) if backlit else draw_inks(draws, style)


def _cross(picture: np.ndarray, height: float, draws: Draws) -> None:
    """Draw a thin line that bends across the whole picture, over its letters."""
    rows, columns = picture.shape[1:]
    along = np.linspace(-0.05, 1.05, 7)
    size, start, end = (columns, draws.uniform(0, rows), draws.uniform(0, rows))
    bend, middle = draws.about_zero(0.5) * rows, 4 * along * (1 - along)
    line = np.stack([along * size, start + (end - start) * along + bend * middle], 1)
    mask = np.zeros((rows, columns), np.uint8)
    thick = max(1, round(height * draws.uniform(0.02, 0.07)))
    cv2.polylines(mask, [np.rint(line).astype(np.int32)], False, 255, thick, cv2.LINE_AA)
    _lay(picture, mask, draw_color(draws, 0.3), draws.uniform(0.5, 1.0))


def write(
    picture: np.ndarray,
    letters: np.ndarray,
    mix: np.ndarray,
    height: float,
    inks: Inks,
    draws: Draws,
    style: Style,
) -> np.ndarray:
    """Write letters on a picture, (3, h, w) float32, with what lies below and about them.

    Args:
        picture: the ground, changed in place.
        letters: (h, w) uint8 coverage.
        mix: (h, w) uint8, 255 where the second ink is.
        height: pixels of the letters.
    """
    first, second = inks.first, inks.second
    angle = draws.uniform(0, 2 * np.pi)
    toward = np.array([np.cos(angle), np.sin(angle)])
    if draws.chance(style.glow):
        halo = cv2.GaussianBlur(letters, (0, 0), max(0.6, height * draws.uniform(0.06, 0.2)))
        light = with_luma(draw_color(draws, 1.0), min(255.0, float(inks.ground @ LUMA) + 90))
        _lay(picture, halo, light, draws.uniform(0.4, 0.9))
    if draws.chance(style.shadow):
        shade = cv2.GaussianBlur(letters, (0, 0), max(0.3, height * draws.uniform(0.0, 0.06)))
        dark = inks.ground * 0.3 if draws.chance(0.8) else draw_color(draws, 0.3)
        offset = toward * draws.uniform(*style.shadow_offset) * height
        _lay(picture, _shifted(shade, offset), dark, draws.uniform(0.4, 0.9))
    if draws.chance(style.extrusion):
        depth = draws.uniform(*style.extrusion_depth) * height
        steps = max(1, round(depth))
        moved = [_shifted(letters, toward * depth * (step + 1) / steps) for step in range(steps)]
        side = first * draws.uniform(0.35, 0.7)
        if float(first @ LUMA) < 120 and draws.chance(0.5):  # the side toward the light
            side = first + (255 - first) * draws.uniform(0.4, 0.8)
        _lay(picture, np.maximum.reduce(moved), side)
        if steps > 1:  # the nearer half of the side, in its shade
            _lay(picture, np.maximum.reduce(moved[: steps // 2]), side * draws.uniform(0.5, 0.95))
    if draws.chance(style.outline):
        wider = _widened(letters, max(0.7, draws.uniform(*style.outline_width) * height))
        hollow = draws.chance(style.hollow) and height >= LEAST_HOLLOW
        _lay(picture, wider, first if hollow else _edge_color(inks, draws))
        if hollow:
            first = second = inks.ground
    if draws.chance(style.worn):
        kept = draws.noise(max(2, letters.shape[0] // 3), max(2, letters.shape[1] // 3)) + draws.uniform(0.8, 1.6)
        paint_left = cv2.resize(kept, letters.shape[::-1], interpolation=cv2.INTER_LINEAR)
        letters = (letters * np.clip(paint_left * 2, 0.25, 1)).astype(np.uint8)
    if cv2.hasNonZero(mix):
        share = mix.astype(np.float32) / 255
        _lay(picture, letters, first[:, None, None] + (second - first)[:, None, None] * share)
    else:
        _lay(picture, letters, first)
    if draws.chance(style.rim):
        inner = 255 - _widened(255 - letters, max(0.7, height * draws.uniform(0.03, 0.07)))
        edge = first + (255 - first) * 0.75 if draws.chance(0.6) else first * 0.4
        _lay(picture, cv2.subtract(letters, inner), edge, draws.uniform(0.5, 1.0))
    if draws.chance(style.relief):
        edge = toward * max(0.7, height * 0.035)
        lit = _shifted(letters, edge).astype(np.float32) - _shifted(letters, -edge)
        picture += lit * np.float32(draws.uniform(25, 80) / 255)
    return picture


def _edge_color(inks: Inks, draws: Draws) -> np.ndarray:
    """A color so far from the ink, toward the ground and beyond it or the other way, that letters stay apart."""
    luma = float(inks.first @ LUMA)
    up = float(inks.ground @ LUMA) > luma if draws.chance(0.5) else luma < 127.5
    room = 255 - luma if up else luma
    step = min(max(room * draws.uniform(0.5, 1.0), 60), room)
    return with_luma(draw_color(draws, 0.5), luma + (step if up else -step))


def _lay(picture: np.ndarray, mask: np.ndarray, color: np.ndarray, opacity: float = 1.0) -> None:
    """Lay a color, RGB or one for each pixel, (3, h, w), on a picture where a mask says."""
    share = mask * np.float32(opacity / 255)
    picture += ((color if color.ndim == 3 else color[:, None, None]).astype(np.float32, copy=False) - picture) * share


def _tint(picture: np.ndarray, mask: np.ndarray, difference: np.ndarray) -> None:
    """Change the color of a picture, (3, h, w), where a mask says; what is on it stays."""
    picture += difference.astype(np.float32)[:, None, None] * (mask * np.float32(1 / 255))


def _shifted(mask: np.ndarray, offset: np.ndarray) -> np.ndarray:
    matrix = np.array([[1, 0, offset[0]], [0, 1, offset[1]]], np.float32)
    return cv2.warpAffine(mask, matrix, (mask.shape[1], mask.shape[0]), flags=cv2.INTER_LINEAR)


def _widened(mask: np.ndarray, radius: float) -> np.ndarray:
    """The mask grown by a radius in pixels, a fraction of which counts too."""
    whole = int(np.ceil(radius))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * whole + 1, 2 * whole + 1))
    grown = cv2.dilate(mask, kernel)
    if whole - radius < 0.05:
        return grown
    inner = (
        cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * whole - 1, 2 * whole - 1)))
        if whole > 1
        else mask
    )
    return cv2.addWeighted(grown, 1 - (whole - radius), inner, whole - radius, 0)


def _dots(letters: np.ndarray, height: float, draws: Draws) -> np.ndarray:
    """Letters as a grid of dots, as fine as letters of 12 to 18 rows."""
    pitch = max(2.0, height / draws.uniform(12, 18))
    rows, columns = max(3, round(letters.shape[0] / pitch)), max(3, round(letters.shape[1] / pitch))
    lit = cv2.resize(letters, (columns, rows), interpolation=cv2.INTER_AREA)
    lit = np.where(lit > 0.35 * lit.max(), 255, 0).astype(np.uint8)
    lit = cv2.resize(lit, letters.shape[::-1], interpolation=cv2.INTER_NEAREST)
    y = np.abs(np.arange(letters.shape[0], dtype=np.float32) * np.float32(rows / letters.shape[0]) % 1 - 0.5)
    x = np.abs(np.arange(letters.shape[1], dtype=np.float32) * np.float32(columns / letters.shape[1]) % 1 - 0.5)
    dot = np.clip(1.5 - 3.2 * np.sqrt(y[:, None] ** 2 + x[None] ** 2) * draws.uniform(0.7, 1.0), 0.15, 1)
    return (lit * dot).astype(np.uint8)
