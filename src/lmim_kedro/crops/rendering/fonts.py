"""Faces to write with: files by weight, what each can write, and letters as masks."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from glob import glob
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lmim_kedro.crops.rendering.draws import Choice, Draws
from lmim_kedro.errors import InputError
from lmim_kedro.files import require_regular

FONT_SUFFIXES = (".ttf", ".otf", ".woff", ".woff2", ".ttc")
FACE_SIZE = 40
"""Pixels an em. Every face is opened once, at this size; a word is scaled to the height that it is drawn for."""
UNASSIGNED = "\U0010fffe"
"""A code point that never is a character: every face shows its sign for a missing one here."""
MOST_TRIES = 12
EMBEDDED = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSansMono", "DejaVuSansMono-Bold"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10"),
)
"""What comes with matplotlib and holds Latin letters."""


class Fonts:
    """Font files, drawn from by the weight of their group.

    Args:
        weights: folders, files or globs, with how often each is drawn from; its files share the weight. None: the
            fonts that come with matplotlib.

    Raises:
        InputError: if there is no font at a place, or a file is none.

    Example:
        >>> Fonts().draw("Straße", Draws(0)).stem
        'DejaVuSans-Oblique'
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        groups = {place: _files(place) for place in weights} if weights is not None else {"embedded": _embedded()}
        shares = weights if weights is not None else {"embedded": 1.0}
        self.groups: Choice[tuple[Path, ...]] = Choice(
            {tuple(files): float(shares[place]) for place, files in groups.items() if shares[place] > 0}
        )
        if not self.groups:
            raise InputError("fonts gives no place a weight above 0: give one, as {data/01_raw/fonts: 1}")
        self.files = sorted({file for files in self.groups for file in files})
        for file in self.files:
            _check(file)

    def __len__(self) -> int:
        return len(self.files)

    def digest(self) -> str:
        """Changes with the files and their weights, not with where they lie."""
        parts = [
            [hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest() for file in group] for group in self.groups
        ]
        return repr([parts, self.groups.edges])

    def draw(self, text: str, draws: Draws) -> Path:
        """A face that has every character of a text.

        Raises:
            InputError: if no face has.
        """
        for _ in range(MOST_TRIES):
            group: tuple[Path, ...] = draws.weighted(self.groups)
            file = draws.pick(group)
            if writes(file, text):
                return file
        fitting = [file for file in self.files if writes(file, text)]
        if not fitting:
            raise InputError(
                f"none of the {len(self.files)} fonts has all characters of {text!r}: give fonts that have them under "
                "`fonts`, or leave these characters out of `symbols`"
            )
        return draws.pick(fitting)


def writes(file: Path, text: str) -> bool:
    """Whether a face has a glyph with ink for every character of a text."""
    return all(_has(file, character) for character in set(text))


@lru_cache(maxsize=4096)
def face(file: Path, size: int = FACE_SIZE) -> ImageFont.FreeTypeFont:
    """A face, opened once in a process. The basic layout is twice as fast as raqm's."""
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)


@dataclass(frozen=True, slots=True)
class Glyph:
    """A character of a face.

    Attributes:
        ink: (h, w) uint8 coverage.
        left: pixels from the pen to the ink.
        top: pixels from the ascender to the ink.
        advance: pixels to the next pen.
    """

    ink: np.ndarray
    left: int
    top: int
    advance: float


@lru_cache(maxsize=40_000)
def glyph(file: Path, character: str, size: int = FACE_SIZE) -> Glyph:
    """Draw a character, once in a process: words are put together from these."""
    font = face(file, size)
    left, top, right, bottom = font.getbbox(character)
    canvas = Image.new("L", (max(1, int(right - left)), max(1, int(bottom - top))))
    ImageDraw.Draw(canvas).text((-left, -top), character, fill=255, font=font)
    return Glyph(np.asarray(canvas), int(left), int(top), font.getlength(character))


@lru_cache(maxsize=200_000)
def _has(file: Path, character: str) -> bool:
    drawn = _drawing(file, character)
    return bool(drawn) and drawn != _drawing(file, UNASSIGNED)


def _drawing(file: Path, character: str) -> bytes:
    """The drawing of one character; empty where it has no ink."""
    drawn = face(file).getmask(character)
    return bytes(drawn) + repr(drawn.size).encode() if drawn.getbbox() else b""


def _files(place: str) -> list[Path]:
    path = Path(place)
    if path.is_file():
        return [path]
    found = path.rglob("*") if path.is_dir() else map(Path, glob(place, recursive=True))
    files = sorted((file for file in found if file.suffix.lower() in FONT_SUFFIXES), key=lambda file: (file.name, file))
    if not files:
        raise InputError(
            f"there is no font at {place} ({', '.join(FONT_SUFFIXES)}): `make fonts` fetches free ones to "
            "data/01_raw/fonts, or name a folder, a file or a glob of yours"
        )
    return files


def _embedded() -> list[Path]:
    found = find_spec("matplotlib")
    assert found is not None and found.origin is not None, "matplotlib is a dependency"
    return [Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / f"{name}.ttf" for name in EMBEDDED]


def _check(file: Path) -> None:
    require_regular(file)
    try:
        face(file)
    except OSError as error:
        raise InputError(f"{file} cannot be read as a font ({error}): take it out of `fonts`") from error
