"""Crop i of a renderer: a word, a face, a style, and the picture that they make."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lmim_kedro.crops.rendering.camera import encode, light, photograph
from lmim_kedro.crops.rendering.draws import Choice, Draws
from lmim_kedro.crops.rendering.fonts import Fonts, writes
from lmim_kedro.crops.rendering.lettering import add_others, bend, frame, set_word
from lmim_kedro.crops.rendering.painting import paint
from lmim_kedro.crops.rendering.style import Style
from lmim_kedro.crops.rendering.words import Vocabulary, any_word

Photo = Callable[[Draws], np.ndarray | None]
HELD_OUT_SHARE = 0.15


def no_photo(draws: Draws) -> None:
    """No photograph as a ground."""


def is_held_out(word: str) -> bool:
    """Whether a word belongs to the held-out ones, whatever its case."""
    digest = hashlib.blake2b(word.lower().encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") < HELD_OUT_SHARE * 2**32


class Renderer:
    """Draws crops; the crop of a key is the same wherever and whenever it is drawn.

    Args:
        vocabulary: what is written.
        fonts: the faces.
        styles: how it looks, each with its share.
        photo: gives a crop (h, w, 3) uint8 to blur as a ground, or None.

    Example:
        >>> from lmim_kedro.crops.rendering.style import EASY
        >>> renderer = Renderer(Vocabulary({"numbers": 1}, {"as_is": 1}), Fonts(), {EASY: 1.0})
        >>> word, data = renderer.render((0, 1, 2))
        >>> word.isdigit(), len(data) > 0
        (True, True)
    """

    def __init__(
        self, vocabulary: Vocabulary, fonts: Fonts, styles: dict[Style, float], photo: Photo = no_photo
    ) -> None:
        self.vocabulary, self.fonts, self.styles, self.photo = vocabulary, fonts, Choice(styles), photo

    def render(self, key: tuple[int, ...], accept: Callable[[str], bool] = any_word) -> tuple[str, bytes]:
        """The word of the crop with this key, and its JPEG file.

        Args:
            key: whole numbers that tell it from all others, as (seed, split, number).
            accept: whether a word may be drawn.

        Raises:
            InputError: if no word is accepted, or no face has all of its characters.
        """
        draws = Draws(*key)
        style = draws.weighted(self.styles)
        text = self.vocabulary.draw(draws, accept)
        return text, encode(self.draw(text, draws, style), draws, style)

    def draw(self, text: str, draws: Draws, style: Style) -> np.ndarray:
        """A text in a style, (h, w, 3) uint8 RGB."""
        file = self.fonts.draw(text, draws)
        word, others = set_word(text, file, draws, style), self._neighbors(file, draws, style)
        if draws.chance(0.5):  # what stands about a word bends with it
            word = bend(add_others(word, others, file, draws, style), draws, style)
        else:
            word = add_others(bend(word, draws, style), others, file, draws, style)
        framed = frame(word, draws, style)
        photo = self.photo(draws) if draws.chance(style.photo) else None
        picture = light(paint(framed, draws, style, photo), draws, style)
        return photograph(picture, framed.height, draws, style)

    def _neighbors(self, file: Path, draws: Draws, style: Style) -> list[str]:
        if not draws.chance(style.neighbors):
            return []
        words = [self.vocabulary.neighbor(draws) for _ in range(draws.integer(1, 3))]
        return [word for word in words if writes(file, word)]
