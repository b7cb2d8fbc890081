"""Words rendered when they are read: a source like any other, over crops.rendering."""

import inspect
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import numpy as np

from lmim_kedro.crops.pixels import decode
from lmim_kedro.crops.rendering.draws import Choice, Draws
from lmim_kedro.crops.rendering.fonts import Fonts
from lmim_kedro.crops.rendering.renderer import Renderer, is_held_out
from lmim_kedro.crops.rendering.style import read_styles
from lmim_kedro.crops.rendering.words import Vocabulary
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.sources.source import Layout, RawCrop, Source
from lmim_kedro.errors import InputError, did_you_mean

log = logging.getLogger(__name__)

Split = Literal["pretraining", "finetuning", "heldout"]
VOCABULARY = {"syllables": 82.0, "numbers": 12.0, "random": 6.0}
"""What is written where the catalog names no words: made up, since no word list comes with the project, and of letters
and digits alone, which every charset has."""
CASE = {"upper": 0.47, "lower": 0.28, "title": 0.25}


class RenderedWords:
    """A reader of crops that are rendered when they are read. Crop i is a function of (seed, split, i) and the options.

    Args:
        words: number of crops.
        seed: seed of everything random.
        split: "pretraining", "finetuning" or "heldout". A word that can occur in "heldout" occurs in neither of the
            others, compared without case.
        fonts: folders, files or globs of fonts with their weights: {data/01_raw/fonts/plain: 2, my/*.otf: 1}. None:
            the fonts that come with matplotlib.
        vocabulary: files with one word a line and names of patterns (`rendering.words.PATTERNS`), with their weights.
            None: pseudo-words, numbers and random strings.
        case: shares of `lower`, `title`, `upper` and `as_is`. None: as signs have them.
        brevity: weight of a word of a list for each letter that it has, above 0 and at most 1.
        symbols: the only characters that words may have; random strings are made of them. None: any.
        styles: shares of the styles, and the fields that differ (`rendering.style.Style`). None: half easy, half hard.
        grounds: unlabelled crops that are blurred as backgrounds: sources as in the catalog, by name. None: none.

    Errors: InputError, if an option cannot be used.

    Example:
        >>> len(RenderedWords(10, seed=0, split="heldout").render(3)[0]) > 0
        True
    """

    format = "rendered"

    def __init__(
        self,
        words: int,
        seed: int = 0,
        split: Split = "pretraining",
        fonts: Mapping[str, float] | None = None,
        vocabulary: Mapping[str, float] | None = None,
        case: Mapping[str, float] | None = None,
        brevity: float = 0.75,
        symbols: str | None = None,
        styles: Mapping[str, Any] | None = None,
        grounds: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        if split not in get_args(Split):
            raise InputError(f"split is {split!r}: rendered words come as {', '.join(get_args(Split))}")
        if words < 1:
            raise InputError(f"words is {words}: ask for at least one rendered word")
        if seed < 0:
            raise InputError(f"seed is {seed}: choose a whole number of at least 0")
        if not 0 < brevity <= 1:
            raise InputError(f"brevity is {brevity}: choose a number above 0 and at most 1")
        self.words, self.seed, self.split = words, seed, split
        self.labeled = split != "pretraining"
        faces = Fonts(None if fonts is None else _weights("fonts", fonts))
        spoken = Vocabulary(
            _weights("vocabulary", VOCABULARY if vocabulary is None else vocabulary),
            _case(case),
            symbols or "",
            brevity,
        )
        found = read_styles(styles)
        self._photos = Photos([open_source(name, spec) for name, spec in (grounds or {}).items()])
        self._renderer = Renderer(spoken, faces, found, self._photos)
        self.description = (
            f"{words:,} rendered words, {split}: {', '.join(name.rpartition('/')[2] for name in spoken.sources)}; "
            f"{len(faces)} fonts, styles {', '.join(styles or ('easy', 'hard'))}"
        )
        self.identity = repr(
            ["rendered/3", seed, split, faces.digest(), spoken.digest(), self._photos.identity]
            + [[style.model_dump(), share] for style, share in found.items()]
        )

    def __len__(self) -> int:
        return self.words

    def read(self, start: int, stop: int) -> Iterator[RawCrop]:
        """Crops `start` to `stop` (exclusive)."""
        for number in range(start, stop):
            word, data = self.render(number)
            yield RawCrop(f"{self.split}-{number:08d}", data, word if self.labeled else None)

    def render(self, number: int) -> tuple[str, bytes]:
        """The word of a crop and its JPEG bytes."""
        key = self.seed, get_args(Split).index(self.split), number
        return self._renderer.render(key, self._in_split)

    def _in_split(self, word: str) -> bool:
        return is_held_out(word) == (self.split == "heldout")


class Photos:
    """Unlabelled crops to blur as grounds, drawn from sources by their sizes. Empty: none."""

    def __init__(self, sources: list[Source]) -> None:
        self.sources = sources
        self._choice = Choice({number: float(len(source)) for number, source in enumerate(sources) if len(source)})
        self.identity = [source.identity for source in sources]

    def __call__(self, draws: Draws) -> np.ndarray | None:
        """A crop, (h, w, 3) uint8 RGB; None without sources, and for one that cannot be read, with a warning."""
        if not self._choice:
            return None
        source = self.sources[draws.weighted(self._choice)]
        place = draws.integer(0, len(source) - 1)
        [crop] = source.read(place, place + 1)
        try:
            if crop.data is None:
                raise ValueError(crop.reason)
            return decode(crop.data)
        except ValueError as error:
            log.warning("%s cannot be a ground of a rendered word (%s): %s", crop.key, error, source.name)
            return None


def _weights(option: str, given: Any) -> dict[str, float]:
    """Check a mapping of names to weights."""
    if not isinstance(given, Mapping) or not given:
        raise InputError(f"{option} is {given!r}: give places with their weights, as {{a/place: 2, another: 1}}")
    for name, weight in given.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight >= 0:
            raise InputError(f"{option} gives {name!r} the weight {weight!r}: give a number of at least 0")
    return {str(name): float(weight) for name, weight in given.items()}


def _case(case: Any) -> dict[str, float]:
    shares = CASE if case is None else _weights("case", case)
    for name in shares:
        if name not in (*CASE, "as_is"):
            raise InputError(
                f"case names {name!r}{did_you_mean(name, (*CASE, 'as_is'))}: it takes lower, title, upper, as_is"
            )
    return shares


def open_rendered(**options: Any) -> RenderedWords:
    """Make the reader that the options of the catalog ask for; its identity says what they were."""
    if "words" not in options:
        raise InputError("no number of words was given: say how many to render, as `words: 8000`")
    try:
        return RenderedWords(**options)
    except (TypeError, ValueError) as error:
        raise InputError(f"words cannot be rendered with {options}: {error}") from error


LAYOUT = Layout("rendered", open_rendered, options=tuple(inspect.signature(RenderedWords).parameters))
