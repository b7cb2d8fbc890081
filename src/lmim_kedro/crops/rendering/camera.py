"""What light and a camera make of a painted word."""

import math

import cv2
import numpy as np

from lmim_kedro.crops.rendering.draws import Draws
from lmim_kedro.crops.rendering.style import Style

LEAST_DEVIATION = 9
"""Of 255, over the pixels of a sign: where darkness leaves less, its letters drown in the noise."""


def light(picture: np.ndarray, draws: Draws, style: Style) -> np.ndarray:
    """Light on a painted sign: a ramp, a spot, the edge of a shadow, darkness.

    Args:
        picture: (3, h, w) float32 RGB of 255.
    """
    height, width = picture.shape[1:]
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None]
    if draws.chance(style.ramp):
        angle, strength = draws.uniform(0, 2 * np.pi), draws.uniform(*style.ramp_strength)
        picture = picture * (1 - strength * (0.5 + math.cos(angle) * x + math.sin(angle) * y))
    if draws.chance(style.spot):
        size = draws.uniform(0.15, 0.5)
        far = ((x - draws.about_zero(0.6)) * (width / height)) ** 2 + (y - draws.about_zero(0.6)) ** 2
        picture = picture + np.exp(-far / (2 * size**2)) * draws.uniform(30, 150)
    if draws.chance(style.shade_edge):
        angle, soft = draws.uniform(0, 2 * np.pi), draws.uniform(0.01, 0.2)
        side = (math.cos(angle) * (width / height) * x + math.sin(angle) * y - draws.about_zero(0.4)) / soft
        picture = picture * (1 - draws.uniform(0.25, 0.6) * np.clip(side + 0.5, 0, 1))
    if draws.chance(style.dark):
        cast = np.array([1 + draws.about_zero(0.2), 1, 1 + draws.about_zero(0.3)], np.float32)
        least = min(1.0, LEAST_DEVIATION / max(1.0, float(picture[1].std())))
        picture = picture * (cast * np.float32(max(least, draws.uniform(*style.darkness))))[:, None, None]
    return picture


def photograph(picture: np.ndarray, height: float, draws: Draws, style: Style) -> np.ndarray:
    """Blur, then one of defocus, motion and few pixels, sharpening, noise.

    Args:
        picture: (3, h, w) float32 RGB of 255.
        height: pixels of the letters.

    Returns:
        (h, w, 3) uint8 RGB.

    Example:
        >>> from lmim_kedro.crops.rendering.style import EASY
        >>> photograph(np.full((3, 20, 60), 99, np.float32), 16.0, Draws(0), EASY).shape
        (20, 60, 3)
    """
    seen = cv2.merge([cv2.convertScaleAbs(np.maximum(plane, 0)) for plane in picture])
    fault = draws.share()
    faulty = fault < style.defocus + style.motion + style.coarse
    sigma = draws.uniform(*style.blur) * height * (0.5 if faulty else 1.0)  # two strong blurs leave nothing to read
    if sigma > 0.25:
        seen = cv2.GaussianBlur(seen, (0, 0), sigma)
    if fault < style.defocus:
        kernel = _disk(draws.uniform(*style.defocus_radius) * height)
        seen = cv2.filter2D(seen, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    elif fault < style.defocus + style.motion:
        kernel = _line(draws.uniform(*style.motion_length) * height, draws.uniform(0, np.pi))
        seen = cv2.filter2D(seen, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    elif fault < style.defocus + style.motion + style.coarse:
        seen = _coarse(seen, draws.uniform(*style.coarse_height) / height, draws, style)
    if draws.chance(style.sharpened):
        amount = draws.uniform(0.4, 1.6)
        seen = cv2.addWeighted(seen, 1 + amount, cv2.GaussianBlur(seen, (0, 0), draws.uniform(0.6, 1.6)), -amount, 0)
    deviation = draws.uniform(*style.noise)
    return _noisy(seen, deviation, draws) if deviation > 0.5 else seen


def _coarse(seen: np.ndarray, factor: float, draws: Draws, style: Style) -> np.ndarray:
    """The picture as if it had been taken with fewer pixels, perhaps saved, and enlarged."""
    if factor >= 0.9:
        return seen
    small = cv2.resize(seen, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    if draws.chance(style.recompressed):
        quality = round(draws.uniform(*style.coarse_quality))
        saved = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        small = np.asarray(cv2.imdecode(saved, cv2.IMREAD_COLOR))[..., ::-1]
    how = draws.pick((cv2.INTER_LINEAR, cv2.INTER_CUBIC))
    return cv2.resize(small, seen.shape[1::-1], interpolation=how)


def _noisy(seen: np.ndarray, deviation: float, draws: Draws) -> np.ndarray:
    """Noise that is the same in all channels, or differs between them."""
    height, width = seen.shape[:2]
    gray = draws.chance(0.5)
    planes = [draws.noise(height, width)] * 3 if gray else [draws.noise(height, width) for _ in range(3)]
    return cv2.add(seen, cv2.merge(planes) * np.float32(deviation), dtype=cv2.CV_8U)


def _disk(radius: float) -> np.ndarray:
    size = int(np.ceil(radius))
    y, x = np.mgrid[-size : size + 1, -size : size + 1]
    kernel = np.clip(radius + 0.5 - np.sqrt(x**2 + y**2), 0, 1)
    return (kernel / kernel.sum()).astype(np.float32)


def _line(length: float, angle: float) -> np.ndarray:
    size = max(1, int(np.ceil(length / 2)))
    kernel = np.zeros((2 * size + 1, 2 * size + 1), np.float32)
    x, y = np.cos(angle) * length / 2, np.sin(angle) * length / 2
    middle = size * 16
    cv2.line(
        kernel,
        (round(middle - x * 16), round(middle - y * 16)),
        (round(middle + x * 16), round(middle + y * 16)),
        1.0,
        1,
        cv2.LINE_8,
        4,
    )
    total = kernel.sum()
    if total == 0:
        kernel[size, size] = total = 1
    return kernel / total


def encode(picture: np.ndarray, draws: Draws, style: Style) -> bytes:
    """The picture as the bytes of a JPEG file."""
    quality = round(draws.uniform(*style.quality))
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
