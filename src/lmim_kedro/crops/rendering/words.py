"""What is written: words of lists, pseudo-words, and strings by pattern, each with a weight."""

import hashlib
import string
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from lmim_kedro.crops.rendering.draws import Choice, Draws
from lmim_kedro.errors import InputError, did_you_mean
from lmim_kedro.files import read_text

ONSETS = [*"bcdfghjklmnprstvwz", "br", "ch", "cl", "cr", "dr", "fl", "gr", "pl", "pr", "sh", "sl", "st", "th", "tr"]
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "ie", "oa", "oo", "ou"]
CODAS = ["", "", "", "ck", "l", "ll", "m", "n", "nd", "ng", "r", "rt", "s", "st", "t", "x", "y"]
LETTERS_AND_DIGITS = string.ascii_letters + string.digits
MOST_TRIES = 2000
"""Words drawn until one is in the split and made of the symbols; more than a charset with a tenth of them needs."""


def any_word(word: str) -> bool:
    """Accept every word."""
    return True


class Vocabulary:
    """Where words come from, by weight.

    Args:
        weights: files of words (one a line) and names of `PATTERNS`, with how often each is drawn from.
        case: how often a word of letters is written in `lower`, `title` and `upper` case, or `as_is`.
        symbols: the only characters that may be drawn; "" for any.
        brevity: weight of a word of a list for each letter that it has, since signs hold short words more often.
        letters: fewest and most letters of a word.

    Raises:
        InputError: if a file is not there or holds no word of these symbols, or a pattern is not known.

    Example:
        >>> Vocabulary({"numbers": 1}, {"as_is": 1}).draw(Draws(3)).isdigit()
        True
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        case: Mapping[str, float],
        symbols: str = "",
        brevity: float = 1.0,
        letters: tuple[int, int] = (1, 20),
    ) -> None:
        self.symbols, self.brevity, self.letters = symbols, brevity, letters
        self.sources = Choice({_checked(name): float(weight) for name, weight in weights.items() if weight > 0})
        if not self.sources:
            raise InputError("vocabulary gives no source of words a weight above 0: give one, as {syllables: 1}")
        self.case = Choice(dict(case))
        plain = {name: weight for name, weight in weights.items() if name not in PATTERNS or name == "syllables"}
        self.plain = Choice({name: float(weight) for name, weight in plain.items() if weight > 0} or {"syllables": 1.0})
        for name in self.sources:
            if name not in PATTERNS:
                self._list(name)

    def digest(self) -> str:
        """Changes with the words that can be drawn, not with where their files lie."""
        parts = [
            name if name in PATTERNS else hashlib.blake2b(Path(name).read_bytes(), digest_size=8).hexdigest()
            for name in self.sources
        ]
        return repr(
            [parts, self.sources.edges, self.case.things, self.case.edges, self.symbols, self.brevity, self.letters]
        )

    def draw(self, draws: Draws, accept: Callable[[str], bool] = any_word) -> str:
        """Draw a word that `accept` takes and that has only the symbols.

        Raises:
            InputError: if there seems to be none.
        """
        for _ in range(MOST_TRIES):
            word = self._one(draws)
            if self._of_symbols(word) and accept(word):
                return word
        raise InputError(
            f"no word of the vocabulary {list(self.sources)} could be drawn in {MOST_TRIES} tries with the symbols "
            f"{self.symbols[:40]!r}: give it a source of such words"
        )

    def neighbor(self, draws: Draws) -> str:
        """A word to stand beside another; no label depends on it."""
        return self._cased(self._word(draws), draws)

    def _one(self, draws: Draws) -> str:
        name = draws.weighted(self.sources)
        if name == "random" and self.symbols:
            return _of(self.symbols, draws)
        if name == "punctuated":
            return _punctuated(draws, self._cased(self._word(draws), draws))
        if name in PATTERNS and name != "syllables":
            return PATTERNS[name](draws)
        return self._cased(self._word(draws, name), draws)

    def _word(self, draws: Draws, name: str | None = None) -> str:
        name = name or draws.weighted(self.plain)
        if name == "syllables":
            return PATTERNS[name](draws)
        return draws.weighted(self._list(name))

    def _list(self, name: str) -> Choice[str]:
        words = _read_words(name, self.symbols, self.brevity, *self.letters)
        if not words:
            low, high = self.letters
            raise InputError(
                f"{name} holds no word of {low} to {high} letters"
                + (f" made of the symbols {self.symbols[:40]!r}" if self.symbols else "")
                + ": one word a line was expected"
            )
        return words

    def _cased(self, word: str, draws: Draws) -> str:
        cased = _in_case(word, draws.weighted(self.case))
        return cased if self._of_symbols(cased) else word

    def _of_symbols(self, word: str) -> bool:
        return not self.symbols or all(symbol in self.symbols for symbol in word)


def _in_case(word: str, case: str) -> str:
    match case:
        case "lower":
            return word.lower()
        case "title":
            return word[:1].upper() + word[1:].lower()
        case "upper":
            return word.upper()
    return word


@lru_cache(maxsize=64)
def _read_words(name: str, symbols: str, brevity: float, fewest: int, most: int) -> Choice[str]:
    """Words of a file that can be written with some symbols in one case or another, without repetitions."""
    lines = read_text(Path(name)).split()
    known = set(symbols) | set(symbols.lower()) | set(symbols.upper())
    fitting = (word for word in lines if fewest <= len(word) <= most and (not symbols or known.issuperset(word)))
    return Choice({word: brevity ** len(word) for word in fitting})


def _checked(name: str) -> str:
    if name in PATTERNS or Path(name).is_file():
        return name
    hint = did_you_mean(name, PATTERNS)
    raise InputError(
        f"vocabulary names {name!r}, which is neither a file nor a pattern{hint}: "
        f"give the path of a file with one word a line, or one of {', '.join(PATTERNS)}"
    )


def _syllables(draws: Draws, fewest: int, most: int) -> str:
    """A pseudo-word of one to three syllables."""
    while True:
        word = "".join(draws.pick(ONSETS) + draws.pick(VOWELS) + draws.pick(CODAS) for _ in range(draws.integer(1, 3)))
        if fewest <= len(word) <= most:
            return word


def _digits(draws: Draws, fewest: int, most: int) -> str:
    return "".join(draws.pick(string.digits) for _ in range(draws.integer(fewest, most)))


def _capitals(draws: Draws, fewest: int, most: int) -> str:
    return "".join(draws.pick(string.ascii_uppercase) for _ in range(draws.integer(fewest, most)))


def _numbers(draws: Draws) -> str:
    return _digits(draws, 1, 5)


def _prices(draws: Draws) -> str:
    amount = f"{draws.integer(0, 99)}.{draws.pick(['99', '95', '50', '00', _digits(draws, 2, 2)])}"
    match draws.integer(0, 4):
        case 0:
            return amount
        case 1:
            return f"{draws.pick('$£€')}{draws.integer(1, 999)}"
        case 2:
            return f"{draws.integer(1, 99)}%"
        case 3:
            return f"{draws.integer(1, 99)},{_digits(draws, 3, 3)}"
    return f"{draws.pick('$£€')}{amount}"


def _dates(draws: Draws) -> str:
    day, month, year = draws.integer(1, 31), draws.integer(1, 12), draws.integer(1900, 2035)
    match draws.integer(0, 3):
        case 0:
            return str(year)
        case 1:
            return f"{day:02}{draws.pick('/.-')}{month:02}"
        case 2:
            mark = draws.pick("/.-")
            return f"{day:02}{mark}{month:02}{mark}{year}"
    return f"{day}{'th' if 10 < day < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


def _times(draws: Draws) -> str:
    hour, minute = draws.integer(0, 23), draws.integer(0, 59)
    match draws.integer(0, 3):
        case 0:
            return f"{hour % 12 + 1}{draws.pick(['am', 'pm', 'AM', 'PM'])}"
        case 1:
            return f"{hour % 12 + 1}:{minute:02}{draws.pick(['am', 'pm'])}"
    return f"{hour}:{minute:02}"


def _web(draws: Draws) -> str:
    name = _syllables(draws, 3, 8)
    end = draws.pick([".com", ".com", ".com", ".org", ".net", ".co.uk", ".de", ".in", ".info"])
    match draws.integer(0, 3):
        case 0:
            return f"{name}{end}"
        case 1:
            return f"{_syllables(draws, 2, 6)}@{name}{end}"
        case 2:
            return f"{name}{end}".upper()
    return f"www.{name}{end}"


def _plates(draws: Draws) -> str:
    match draws.integer(0, 4):
        case 0:
            return _capitals(draws, 1, 3) + _digits(draws, 1, 4) + _capitals(draws, 0, 2)
        case 1:
            return f"{_capitals(draws, 1, 3)}-{_digits(draws, 2, 4)}"
        case 2:
            return f"#{_digits(draws, 1, 2)}-{_digits(draws, 2, 3)}"
        case 3:
            return _capitals(draws, 2, 5)
    return _digits(draws, 1, 3) + _capitals(draws, 1, 2)


def _random(draws: Draws) -> str:
    text = _of(LETTERS_AND_DIGITS, draws)
    return _in_case(text, draws.pick(["lower", "title", "upper", "upper"]))


def _of(symbols: str, draws: Draws) -> str:
    """One to eight of some symbols."""
    return "".join(draws.pick(symbols) for _ in range(draws.integer(1, 8)))


def _punctuated(draws: Draws, word: str) -> str:
    match draws.integer(0, 7):
        case 0:
            return f'"{word}"'
        case 1:
            return f"({word})"
        case 2:
            return f"{word}'s"
        case 3:
            return f"{word}-{_syllables(draws, 2, 5)}"
        case 4:
            return f"{draws.pick('&#*-')}{word}"
    return word + draws.pick("!?.,:;")


PATTERNS: dict[str, Callable[[Draws], str]] = {
    "syllables": lambda draws: _syllables(draws, 3, 8),
    "numbers": _numbers,
    "prices": _prices,
    "dates": _dates,
    "times": _times,
    "web": _web,
    "plates": _plates,
    "random": _random,
    "punctuated": lambda draws: _punctuated(draws, _syllables(draws, 3, 8)),
}
"""Kinds of strings that need no file; `syllables` are words that can be spoken, `punctuated` a word with a mark."""
