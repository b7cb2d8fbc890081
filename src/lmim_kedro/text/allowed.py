"""What a reading may be: some characters only, words of a list, or texts of a pattern."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from lmim_kedro.errors import InputError
from lmim_kedro.files import read_text
from lmim_kedro.text.charset import Charset

NAMED = {"digits": "0123456789", "letters": "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"}
LEAST_BEAM = 8
"""Hypotheses that are followed where texts are restricted, if no more are asked for: the best one may be no text."""
MOST_BEAM = 2048

Symbols = tuple[int, ...]


@dataclass(frozen=True)
class Allowed:
    """The texts that a reader may give; what is None restricts nothing.

    Case does not count for a recognizer that folds it. A confidence stays the probability of the text among all texts,
    so a word that is none of a list's is read as the most similar one, with little confidence.

    Attributes:
        characters: the characters that may occur.
        words: the words of which a text must be one.
        pattern: a regular expression that the whole text must match, such as "[A-Z]{2}[0-9]{4}".

    Example:
        >>> Allowed.of(charset="digits", pattern=".{5}")
        Allowed(characters='0123456789', words=None, pattern='.{5}')
    """

    characters: str | None = None
    words: tuple[str, ...] | None = None
    pattern: str | None = None

    @classmethod
    def of(
        cls, charset: str | None = None, lexicon: str | Path | None = None, pattern: str | None = None
    ) -> "Allowed | None":
        """What the options of the commands and of `predict` name; None if they name nothing.

        Args:
            charset: digits, letters, the path of a UTF-8 file with the characters, or the characters themselves; a
                file that does not exist is told by the suffix .txt, or by its folder.
            lexicon: path of a UTF-8 file with a word a line.
            pattern: a regular expression.

        Errors: InputError for a file that is absent or empty, and for a pattern that is none.
        """
        characters = None if charset is None else _characters(charset)
        words = None if lexicon is None else _words(Path(lexicon))
        if pattern is not None:
            import regex  # only where it is used: the ready reader starts faster without it

            try:
                regex.compile(pattern)
            except regex.error as error:
                raise InputError(f"{pattern!r} is no regular expression: {error}") from error
        return None if characters is words is pattern is None else cls(characters, words, pattern)


class Grammar:
    """The texts that are allowed, as symbols of a charset.

    Errors: InputError if the charset lacks a character that is asked for, or all words have such characters.

    Example:
        >>> grammar = Grammar(Allowed(words=("cat", "car")), Charset("acrt"))
        >>> grammar.following((1, 0)), grammar.allows((1, 0))  # after "ca"
        ((2, 3), False)
    """

    def __init__(self, allowed: Allowed, charset: Charset) -> None:
        self.charset = charset
        self._next: list[Callable[[str], Iterable[str]]] = []
        self._final: list[Callable[[str], bool]] = []
        if allowed.characters is not None:
            self._add_characters(allowed.characters)
        if allowed.words is not None:
            self._add_words(allowed.words)
        if allowed.pattern is not None:
            self._add_pattern(allowed.pattern)
        self.following = lru_cache(maxsize=100_000)(self._following)

    def allows(self, symbols: Sequence[int]) -> bool:
        """Whether these symbols are an allowed text."""
        text = self.charset.text(symbols)
        return all(final(text) for final in self._final)

    def _following(self, symbols: Symbols) -> Symbols:
        """The symbols, in ascending order, that may come next in an allowed text that begins with these."""
        text = self.charset.text(symbols)
        characters = set(self.charset.characters)
        for following in self._next:
            characters.intersection_update(following(text))
        return tuple(sorted(index for character in characters for index in self.charset.indices(character)))

    def _add_characters(self, characters: str) -> None:
        kept = "".join(dict.fromkeys(self.charset.fold(characters)))
        if unknown := [each for each in kept if each not in self.charset.characters]:
            raise InputError(
                f"the recognizer cannot write {' '.join(unknown)}: leave it out of the characters, or read with a "
                f"recognizer that knows it (this one has {self.charset.sentence()})"
            )
        self._next.append(lambda text: kept)

    def _add_words(self, words: Iterable[str]) -> None:
        folded = {self.charset.fold(word) for word in words}
        known = {word for word in folded if set(word) <= set(self.charset.characters)}
        if unknown := sorted(folded - known):
            raise InputError(
                f"{len(unknown):,} of {len(folded):,} words have characters that the recognizer cannot write, such as "
                f"{unknown[0]!r}: take them out of the list, or read with a recognizer that knows their characters"
            )
        tree: dict[str, set[str]] = {}
        for word in known:
            for place, character in enumerate(word):
                tree.setdefault(word[:place], set()).add(character)
        self._next.append(lambda text: tree.get(text, ()))
        self._final.append(known.__contains__)

    def _add_pattern(self, pattern: str) -> None:
        import regex

        flags = regex.IGNORECASE if self.charset.fold_case else 0
        compiled = regex.compile(pattern, flags)

        def following(text: str) -> list[str]:
            may = compiled.fullmatch
            return [each for each in self.charset.characters if may(text + each, partial=True)]

        if not following("") and not compiled.fullmatch(""):
            raise InputError(f"the recognizer can write no text that matches {pattern!r}: {self.charset.sentence()}")
        self._next.append(following)
        self._final.append(lambda text: compiled.fullmatch(text) is not None)


def may_follow(grammar: Grammar, written: np.ndarray, classes: int, end: int, last: bool) -> np.ndarray:
    """Which symbols of an autoregressive decoder may follow.

    Args:
        grammar: the texts that are allowed.
        written: (B, K, L) symbols of K hypotheses of B crops.
        classes: number C of symbols.
        end: the end symbol; it may follow an allowed text.
        last: whether nothing but the end symbol may follow.

    Returns: (B, K, C) bool.

    Example:
        >>> grammar = Grammar(Allowed(words=("ab",)), Charset("ab"))
        >>> may_follow(grammar, np.array([[[0], [1]]]), classes=5, end=2, last=False).astype(int).tolist()
        [[[0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]]
    """
    may = np.zeros((*written.shape[:2], classes), bool)
    for row, hypotheses in zip(may, written.tolist(), strict=True):
        for own, symbols in zip(row, map(tuple, hypotheses), strict=True):
            own[end] = grammar.allows(symbols)
            if not last:
                own[list(grammar.following(symbols))] = True
    return may


def _characters(named: str) -> str:
    if named in NAMED:
        return NAMED[named]
    path = Path(named)
    if path.is_file() or path.suffix == ".txt" or (path.parent.is_dir() and len(path.parts) > 1):
        text = read_text(path).replace("\n", "").replace("\r", "")
        if not text:
            raise InputError(f"{path} is empty: write every character that may be read into it")
        return text
    if not named:
        raise InputError("no characters are allowed: name digits, letters, a file, or the characters themselves")
    return named


def _words(path: Path) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(line.strip() for line in read_text(path).splitlines() if line.strip()))
    if not words:
        raise InputError(f"{path} holds no words: write one a line")
    return words
