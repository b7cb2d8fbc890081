"""A language model of characters: which of two similar texts is the likelier word."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lmim_kedro.errors import InputError
from lmim_kedro.files import whole

CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
BEGIN, END = len(CHARACTERS) + 1, len(CHARACTERS) + 2
BASE = END + 1  # no symbol is 0, so n-grams of different lengths are different numbers
ENGLISH = Path(__file__).with_name("english.npz")
LENGTH = 5
"""Symbols of the longest n-gram. With six, the file is several times as large, and hardly more crops are right."""
KIND = 3.0
"""Occurrences that symbols which never followed a context get for each kind that did (Witten and Bell: 1)."""


class LanguageModel:
    """How probable a text is as a word, by its n-grams of letters and digits; case and other characters do not count.

    The probability of a symbol after four others is mixed with that after three, and so on, the more so the more
    different symbols have followed (Witten and Bell, 1991). `scripts/make_language_model.py` makes one of words.

    Args:
        ngrams: (N,) uint32, ascending, as numbers of base 39.
        chances: (N,) float16, the log-probability of the last symbol of each after the others.
        contexts: (M,) uint32, ascending: what comes before the last symbol of an n-gram.
        backoffs: (M,) float16, the logarithm of what is left there to shorter contexts.

    Example:
        >>> language = LanguageModel.of(["street", "street", "strong"])
        >>> right, wrong = language.log_probabilities(["Street", "stneet"])
        >>> bool(right > wrong)
        True
    """

    def __init__(self, ngrams: np.ndarray, chances: np.ndarray, contexts: np.ndarray, backoffs: np.ndarray) -> None:
        self.ngrams, self.chances, self.contexts, self.backoffs = ngrams, chances, contexts, backoffs

    @classmethod
    def of(cls, words: Iterable[str]) -> "LanguageModel":
        """Count the n-grams of words, each as often as it comes; those of 4 or 5 symbols met once are left out."""
        counts = Counter(dict.fromkeys([*range(1, BEGIN), END], 0))  # every symbol is possible
        for word, times in Counter(map(folded, words)).items():
            symbols = _symbols(word)
            for end in range(LENGTH, len(symbols) + 1):
                for start in range(end - LENGTH, end):
                    counts[_number(symbols[start:end])] += times
        kept = [ngram for ngram, number in counts.items() if number > 1 or ngram < BASE**3]
        ngrams = np.array(sorted(kept), np.uint32)
        number = np.array([counts[int(ngram)] for ngram in ngrams], np.float64)
        contexts, of_context = np.unique(ngrams // BASE, return_inverse=True)
        new = KIND * np.bincount(of_context)
        left = new / (np.bincount(of_context, number) + new)
        chances = number / (np.bincount(of_context, number) + new)[of_context]
        for length in range(1, LENGTH + 1):  # the longer ones are mixed with the shorter ones
            here = np.flatnonzero((ngrams >= BASE ** (length - 1)) & (ngrams < BASE**length))
            ending = ngrams[here] % BASE ** (length - 1)
            lower = 1 / BEGIN if length == 1 else chances[np.searchsorted(ngrams, ending)]
            chances[here] += left[of_context[here]] * lower
        return cls(ngrams, np.log(chances).astype(np.float16), contexts, np.log(left).astype(np.float16))

    @classmethod
    def named(cls, name: str) -> "LanguageModel":
        """The language model that a parameter names: `english`, which comes with the package, or a file.

        Errors: InputError if there is none.
        """
        return _loaded(ENGLISH if name == "english" else Path(name))

    @classmethod
    def load(cls, path: Path) -> "LanguageModel":
        """Read a file that `save` wrote.

        Errors: InputError if it is none.
        """
        try:
            with np.load(path) as arrays:
                ngrams, contexts = (
                    np.cumsum(arrays[f"{name}_steps"], dtype=np.uint32) for name in ("ngram", "context")
                )
                return cls(ngrams, arrays["chances"], contexts, arrays["backoffs"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise InputError(
                f"{path} is no language model ({error}): name english, none, or a file that "
                "scripts/make_language_model.py wrote"
            ) from error

    def save(self, path: Path) -> None:
        """Write it to a file, .npz."""
        of_ngrams, of_contexts = (np.diff(each, prepend=np.uint32(0)) for each in (self.ngrams, self.contexts))
        with whole(path) as part, part.open("wb") as file:
            np.savez_compressed(
                file,
                ngram_steps=of_ngrams,
                chances=self.chances,
                context_steps=of_contexts,
                backoffs=self.backoffs,
            )

    def log_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Natural logarithms of the probabilities of N texts, their ends included: (N,) float64."""
        spelled = [_symbols(folded(text)) for text in texts]
        windows = np.concatenate([sliding_window_view(np.array(symbols), LENGTH) for symbols in spelled])
        # (W, 5) numbers of the last 1, 2, ... symbols of each window
        endings = np.cumsum(windows[:, ::-1] * BASE ** np.arange(LENGTH), axis=1)
        chances, open_ones = np.zeros(len(windows)), np.arange(len(windows))
        for ending in endings.T[::-1]:
            place, known = _find(self.ngrams, ending[open_ones])
            chances[open_ones[known]] += self.chances[place[known]]
            open_ones = open_ones[~known]
            place, known = _find(self.contexts, ending[open_ones] // BASE)
            chances[open_ones[known]] += self.backoffs[place[known]]
        starts = np.cumsum([0, *(len(symbols) - LENGTH + 1 for symbols in spelled[:-1])])
        return np.add.reduceat(chances, starts)


@lru_cache(maxsize=4)
def _loaded(path: Path) -> LanguageModel:
    return LanguageModel.load(path)


def folded(text: str) -> str:
    """The letters and digits of a text, in lower case.

    Example:
        >>> folded("Don't 24!")
        'dont24'
    """
    return "".join(each for each in text.lower() if each in CHARACTERS)


def _symbols(word: str) -> list[int]:
    return [BEGIN] * (LENGTH - 1) + [CHARACTERS.index(each) + 1 for each in word] + [END]


def _number(symbols: Sequence[int]) -> int:
    return reduce(lambda number, symbol: number * BASE + symbol, symbols, 0)


def _find(among: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of numbers among ascending ones, and whether each is there."""
    place = np.minimum(np.searchsorted(among, numbers.astype(np.uint32)), len(among) - 1)
    return place, among[place] == numbers
