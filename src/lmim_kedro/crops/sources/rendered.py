"""Words rendered on the fly: the embedded sample, a source like any other.

Fonts are those that come with matplotlib. Crop i of a split is a function of (seed, split, i) alone.
"""

import hashlib
import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lmim_kedro.crops.sources.source import Layout, RawCrop
from lmim_kedro.errors import InputError

Split = Literal["pretraining", "finetuning", "heldout"]
HELD_OUT_SHARE = 0.15

FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSansMono", "DejaVuSansMono-Bold"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10"),
)
ONSETS = [*"bcdfghjklmnprstvwz", "br", "ch", "cl", "cr", "dr", "fl", "gr", "pl", "pr", "sh", "sl", "st", "th", "tr"]
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "ie", "oa", "oo", "ou"]
CODAS = ["", "", "", "ck", "l", "ll", "m", "n", "nd", "ng", "r", "rt", "s", "st", "t", "x", "y"]
SHORTEST, LONGEST = 2, 18
"""Letters that one to three syllables can have."""
MOST_CONTRAST = 200
"""Beyond it, hardly any two colors that are drawn at random would do."""
CAPITALS = "ABCDEFGHJKLMNPRSTVWXYZ"


@dataclass(frozen=True)
class Difficulty:
    """How hard the rendered words are to read; ranges are drawn from uniformly for each crop."""

    letters: tuple[int, int] = (3, 8)  # of a pseudo-word
    numbers: float = 0.15  # share of crops that show 2 to 5 digits, or a capital and digits
    font_size: tuple[int, int] = (20, 36)  # pixels
    contrast: float = 60.0  # least difference of luma between text and background, of 255
    rotation: float = 6.0  # degrees to either side
    shear: float = 0.15  # horizontal shift per unit of height, to either side
    perspective: float = 0.06  # largest shift of a corner, share of the size
    blur: tuple[float, float] = (0.0, 1.4)  # Gaussian sigma, pixels
    noise: tuple[float, float] = (0.0, 10.0)  # standard deviation of gray noise, of 255
    outlined: float = 0.1  # share with an outline
    shadowed: float = 0.1  # share with a shadow
    quality: tuple[int, int] = (55, 95)  # JPEG

    def sentence(self) -> str:
        """What a reader of the report should know."""
        return (
            f"pseudo-words of {self.letters[0]} to {self.letters[1]} letters and {self.numbers:.0%} numbers, "
            f"{len(FONTS)} fonts, contrast of at least {self.contrast / 255:.0%}, plain, graded, striped or cluttered "
            f"backgrounds, rotation to {self.rotation:g} degrees, perspective, blur to {self.blur[1]:g} pixels, "
            f"noise, JPEG {self.quality[0]} to {self.quality[1]}"
        )


class RenderedWords:
    """A reader of crops that are rendered when they are read.

    Args:
        words: number of crops.
        seed: seed of everything random.
        split: "pretraining", "finetuning" or "heldout". A word that can occur in "heldout" occurs in neither of the
            others, compared without case.
        difficulty: fields of Difficulty that differ from its defaults.

    Example:
        >>> RenderedWords(10, seed=0, split="heldout").render(3)[0]
        'chan'
    """

    format = "rendered"

    def __init__(
        self, words: int, seed: int = 0, split: Split = "pretraining", difficulty: dict[str, object] | None = None
    ) -> None:
        if split not in get_args(Split):
            raise InputError(f"split is {split!r}: rendered words come as {', '.join(get_args(Split))}")
        if words < 1:
            raise InputError(f"words is {words}: ask for at least one rendered word")
        try:
            self.difficulty = Difficulty(**(difficulty or {}))  # type: ignore[arg-type]
        except TypeError as error:
            known = ", ".join(Difficulty.__dataclass_fields__)
            raise InputError(f"difficulty {sorted(difficulty or {})} is not known: it can hold {known}") from error
        low, high = self.difficulty.letters
        if not (1 <= low <= high and low <= LONGEST and high >= SHORTEST):
            raise InputError(
                f"difficulty.letters is {low} to {high}: words have {SHORTEST} to {LONGEST} letters, the fewest first"
            )
        if not 0 <= self.difficulty.contrast <= MOST_CONTRAST:
            raise InputError(f"difficulty.contrast is {self.difficulty.contrast}: choose 0 to {MOST_CONTRAST}, of 255")
        self.words, self.seed, self.split = words, seed, split
        self.labeled = split != "pretraining"
        self.description = f"{words:,} rendered words, {split}: {self.difficulty.sentence()}"
        self.identity = f"rendered/1/{seed}/{split}/{self.difficulty}"

    def __len__(self) -> int:
        return self.words

    def read(self, start: int, stop: int) -> Iterator[RawCrop]:
        """Crops `start` to `stop` (exclusive)."""
        for number in range(start, stop):
            word, data = self.render(number)
            yield RawCrop(f"{self.split}-{number:08d}", data, word if self.labeled else None)

    def render(self, number: int) -> tuple[str, bytes]:
        """The word of a crop and its JPEG bytes."""
        random = np.random.default_rng([self.seed, get_args(Split).index(self.split), number])
        word = self._word(random)
        picture = _draw(word, random, self.difficulty)
        low, high = self.difficulty.quality
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(low, high + 1))]
        return word, cv2.imencode(".jpg", picture[..., ::-1], quality)[1].tobytes()

    def _word(self, random: np.random.Generator) -> str:
        while True:
            word = _spell(random, self.difficulty)
            digest = hashlib.blake2b(word.lower().encode(), digest_size=4).digest()
            held_out = int.from_bytes(digest, "little") < HELD_OUT_SHARE * 2**32
            if held_out == (self.split == "heldout"):
                return word


def _spell(random: np.random.Generator, difficulty: Difficulty) -> str:
    if random.random() < difficulty.numbers:
        digits = "".join(map(str, random.integers(0, 10, random.integers(2, 6))))
        return digits if random.random() < 0.7 else random.choice(list(CAPITALS)) + digits[:3]
    low, high = difficulty.letters
    word = ""
    while not low <= len(word) <= high:
        syllables = random.integers(1, 4)
        word = "".join(random.choice(ONSETS) + random.choice(VOWELS) + random.choice(CODAS) for _ in range(syllables))
    return (word, word.capitalize(), word.upper())[random.integers(3)]


def _draw(word: str, random: np.random.Generator, difficulty: Difficulty) -> np.ndarray:
    """(h, w, 3) uint8 RGB: the word on its background, warped, blurred, noisy."""
    font = _font(FONTS[random.integers(len(FONTS))], int(random.integers(*difficulty.font_size, endpoint=True)))
    outline = int(random.random() < difficulty.outlined)
    left, top, right, bottom = font.getbbox(word, stroke_width=outline)
    margin = random.integers(2, 8, 4)
    width, height = int(right - left + margin[0] + margin[1]), int(bottom - top + margin[2] + margin[3])
    ground, ink = _colors(random, difficulty.contrast)
    place = (float(margin[0] - left), float(margin[2] - top))
    canvas = Image.fromarray(_background(random, height, width, ground))
    pen = ImageDraw.Draw(canvas)
    if random.random() < difficulty.shadowed:
        shade = tuple(int(value) for value in ground * 0.6)
        pen.text((place[0] + 1.5, place[1] + 1.5), word, fill=shade, font=font, stroke_width=outline)
    edge = tuple(int(value) for value in (ground + ink) / 2)
    fill = tuple(int(value) for value in ink)
    pen.text(place, word, fill=fill, font=font, stroke_width=outline, stroke_fill=edge)
    picture = _warp(np.asarray(canvas), random, difficulty)
    sigma = random.uniform(*difficulty.blur)
    if sigma > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    noise = random.standard_normal(picture.shape[:2], dtype=np.float32) * random.uniform(*difficulty.noise)
    return np.clip(picture + noise[..., None], 0, 255).astype(np.uint8)


def _colors(random: np.random.Generator, contrast: float) -> tuple[np.ndarray, np.ndarray]:
    """Background and text, RGB floats in 0..255, whose luma differs by at least `contrast`."""
    luma = np.array([0.299, 0.587, 0.114])
    while True:
        ground, ink = random.uniform(0, 255, (2, 1)) * 0.5 + random.uniform(0, 255, (2, 3)) * 0.5  # muted, as paint is
        if abs((ground - ink) @ luma) >= contrast:
            return ground, ink


def _background(random: np.random.Generator, height: int, width: int, color: np.ndarray) -> np.ndarray:
    """Plain, graded, striped or cluttered, about one color."""
    ground = np.broadcast_to(color, (height, width, 3)).astype(np.float32)
    kind, strength = random.integers(4), random.uniform(8, 28)
    if kind == 1:
        slope = random.normal(size=2)
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        ground = ground + (strength * (slope[0] * y + slope[1] * x))[..., None]
    elif kind == 2:
        angle, period = random.uniform(0, np.pi), random.uniform(5, 20)
        y, x = np.mgrid[:height, :width]
        waves = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period)
        ground = ground + (strength * 0.6 * np.sign(waves))[..., None]
    elif kind == 3:
        coarse = random.normal(size=(max(2, height // 6), max(2, width // 6), 3)).astype(np.float32) * strength
        ground = ground + cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(ground, 0, 255).astype(np.uint8)


def _warp(picture: np.ndarray, random: np.random.Generator, difficulty: Difficulty) -> np.ndarray:
    """Rotation, shear and perspective in one step, edges continued."""
    height, width = picture.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    angle = np.deg2rad(random.uniform(-1, 1) * difficulty.rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[1, random.uniform(-1, 1) * difficulty.shear], [0, 1]])
    moved = (corners - corners.mean(0)) @ (turn @ shear).T
    moved += random.uniform(-1, 1, (4, 2)) * difficulty.perspective * height
    span = np.ptp(moved, axis=0)
    moved = (moved - moved.min(0)) * np.minimum(1, np.array([width, height]) * 1.15 / span)
    size = np.ceil(moved.max(0)).astype(int)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32))
    return cv2.warpPerspective(picture, matrix, tuple(int(n) for n in size), borderMode=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=1024)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    found = find_spec("matplotlib")
    assert found is not None and found.origin is not None, "matplotlib is a dependency"
    return ImageFont.truetype(Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf", size)


def open_rendered(**options: Any) -> RenderedWords:
    """Make the reader that the options of the catalog ask for; its identity says what they were."""
    if "words" not in options:
        raise InputError("no number of words was given: say how many to render, as `words: 8000`")
    try:
        reader = RenderedWords(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"words cannot be rendered with {options}: {error}") from error
    reader.identity = f"rendered {json.dumps(options, sort_keys=True, default=str)} {reader.identity}"
    return reader


LAYOUT = Layout("rendered", open_rendered, options=tuple(inspect.signature(RenderedWords).parameters))
