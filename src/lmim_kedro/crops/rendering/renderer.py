"""Crop i of a renderer: a word, a face, a style, and the picture that they make."""

import hashlib
from collections.abc import Callable

import numpy as np

from lmim_kedro.crops.rendering.camera import encode, light, photograph
from lmim_kedro.crops.rendering.draws import Choice, Draws
from lmim_kedro.crops.rendering.fonts import Fonts, writes
from lmim_kedro.crops.rendering.lettering import add_others, bend, frame, set_word
from lmim_kedro.crops.rendering.painting import paint
from lmim_kedro.crops.rendering.style import Style
from lmim_kedro.crops.rendering.words import Vocabulary

Photo = Callable[[Draws], np.ndarray | None]
HELD_OUT_SHARE = 0.15


def is_held_out(word: str) -> bool:
    """Whether a word belongs to the held-out ones, whatever its case."""
    digest = hashlib.blake2b(word.lower().encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") < HELD_OUT_SHARE * 2**32


class Renderer:
    """Draws crops; crop `number` of a seed is the same wherever and whenever it is drawn.

    Args:
        vocabulary: what is written.
        fonts: the faces.
        styles: how it looks, each with its share.
        photo: gives a crop (h, w, 3) uint8 to blur as a ground, or None.

    Example:
        >>> from lmim_kedro.crops.rendering.style import EASY
        >>> renderer = Renderer(Vocabulary({"numbers": 1}, {"as_is": 1}), Fonts(), {EASY: 1.0})
        >>> word, picture = renderer.draw(Draws(7))
        >>> word.isdigit(), picture.dtype.name
        (True, 'uint8')
    """

    def __init__(
        self, vocabulary: Vocabulary, fonts: Fonts, styles: dict[Style, float], photo: Photo = lambda draws: None
    ) -> None:
        self.vocabulary, self.fonts, self.styles, self.photo = vocabulary, fonts, Choice(styles), photo

    def file(self, key: tuple[int, ...], accept: Callable[[str], bool] = lambda word: True) -> tuple[str, bytes]:
        """The word of the crop with this key, and the bytes of its JPEG file.

        Args:
            key: whole numbers of at least 0, as (seed, split, number).
            accept: whether a word may be drawn.
        """
        draws = Draws(*key)
        word, picture = self.draw(draws, accept)
        return word, encode(picture, draws, self._style)

    def draw(self, draws: Draws, accept: Callable[[str], bool] = lambda word: True) -> tuple[str, np.ndarray]:
        """A word and its picture, (h, w, 3) uint8 RGB, before it is encoded."""
        self._style = style = draws.weighted(self.styles)
        text = self.vocabulary.draw(draws, accept)
        file = self.fonts.draw(text, draws)
        word = set_word(text, file, draws, style)
        word = bend(word, draws, style)
        word = add_others(word, self._neighbors(draws, style, file), draws, style)
        framed = frame(word, draws, style)
        photo = self.photo(draws) if draws.chance(style.photo) else None
        picture = light(paint(framed, draws, style, photo), draws, style)
        return text, photograph(picture, framed.height, draws, style)

    def _neighbors(self, draws, style, file):  # type: ignore[no-untyped-def]
        if not draws.chance(style.neighbors):
            return []
        words = [self.vocabulary.neighbor(draws) for _ in range(draws.integer(1, 3))]
        return [(word, file) for word in words if writes(file, word)]
