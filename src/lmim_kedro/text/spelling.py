"""Symbols and their probabilities -> a Reading: the one result of all recognizers, in torch and in ONNX."""

import math
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from lmim_kedro.text.allowed import Grammar
from lmim_kedro.text.charset import Charset
from lmim_kedro.text.ctc import candidates, prefix_search

COLUMNS = ("key", "text", "confidence", "confidence_mean", "confidence_min", "confidences", "error")
"""What a file of readings says of each crop."""


class Reading(NamedTuple):
    """The word in one crop.

    Attributes:
        text: the word.
        confidence: probability of the whole word, 0 to 1: the product over all symbols, the end symbol or CTC's blanks
            included.
        confidences: probability of each character of `text`, 0 to 1.
        error: why the crop could not be read; None if it could.
        key: name of the crop: a path, an LMDB key; None if it has none.
    """

    text: str
    confidence: float
    confidences: tuple[float, ...] = ()
    error: str | None = None
    key: str | None = None

    @property
    def confidence_mean(self) -> float:
        """Mean of `confidences`; where no character was read, `confidence`.

        Example:
            >>> reading = Reading("ab", 0.25, (0.5, 1.0))
            >>> reading.confidence_mean, reading.confidence_min
            (0.75, 0.5)
        """
        return math.fsum(self.confidences) / len(self.confidences) if self.confidences else self.confidence

    @property
    def confidence_min(self) -> float:
        """The least of `confidences`; where no character was read, `confidence`."""
        return min(self.confidences, default=self.confidence)


def spell(
    charset: Charset, symbols: Sequence[int], probabilities: Sequence[float], confidence: float | None = None
) -> Reading:
    """Spell what an autoregressive decoder wrote.

    Padding and unknown symbols count for the word's confidence and write no character.

    Args:
        charset: charset of the decoder.
        symbols: L symbols; after the end symbol only end symbols follow.
        probabilities: L probabilities; 1 after the end symbol.
        confidence: probability of the word; None: the product of all.

    Example:
        >>> charset = Charset("abc")
        >>> spell(charset, [0, 2, charset.end, charset.end], [0.5, 0.5, 0.8, 1.0])
        Reading(text='ac', confidence=0.2, confidences=(0.5, 0.5), error=None, key=None)
    """
    pairs = zip(symbols, probabilities, strict=True)
    characters = tuple(probability for symbol, probability in pairs if symbol < len(charset))
    return Reading(charset.text(symbols), math.prod(probabilities) if confidence is None else confidence, characters)


def collapse(charset: Charset, symbols: Sequence[int], probabilities: Sequence[float]) -> Reading:
    """Spell the best symbol of each column of a CTC recognizer, whose blank is the symbol after the characters.

    Args:
        charset: charset of the recognizer.
        symbols: a symbol for each column.
        probabilities: probability of each. A character is as sure as the surest column that shows it.

    Example:
        >>> collapse(Charset("abc"), [0, 0, 3, 0], [0.5, 1.0, 0.5, 1.0])
        Reading(text='aa', confidence=0.25, confidences=(1.0, 1.0), error=None, key=None)
    """
    columns = zip(symbols, probabilities, strict=True)
    runs = [(symbol, max(sure for _, sure in run)) for symbol, run in groupby(columns, itemgetter(0))]
    kept = [(symbol, probability) for symbol, probability in runs if symbol < len(charset)]
    text = charset.text(symbol for symbol, _ in kept)
    return Reading(text, math.prod(probabilities), tuple(probability for _, probability in kept))


def collapse_all(charset: Charset, columns: np.ndarray) -> list[Reading]:
    """Spell the best symbols of B crops, given the probabilities of their columns (B, columns, characters + 1)."""
    best, sure = columns.argmax(-1), columns.max(-1)
    return [collapse(charset, *row) for row in zip(best.tolist(), sure.tolist(), strict=True)]


def several(charset: Charset, columns: np.ndarray, width: int, least: float) -> list[Reading]:
    """The most probable texts over the columns of a CTC recognizer, at most `width`; arguments as of `ctc.candidates`.

    Example:
        >>> [reading.text for reading in several(Charset("ab"), np.array([[0.5, 0.2, 0.3]]), width=3, least=0.25)]
        ['a', '']
    """
    found = candidates(columns, len(charset), width, least=least)
    return [
        Reading(charset.text(each.symbols), min(1.0, math.exp(each.log_probability)), each.confidences)
        for each in found
    ]


def search(charset: Charset, columns: np.ndarray, beam: int, grammar: Grammar | None = None) -> Reading:
    """Find the most probable text over the columns of a CTC recognizer.

    Args:
        charset: charset of the recognizer.
        columns: (columns, characters + 1) probabilities, the blank last.
        beam: number of prefixes that are kept.
        grammar: the texts that are allowed; None: all.

    Example:
        >>> search(Charset("ab"), np.array([[0.6, 0.0, 0.4], [0.6, 0.0, 0.4]]), beam=4).text
        'a'
    """
    symbols, confidence, confidences = prefix_search(columns, len(charset), beam, grammar)
    return Reading(charset.text(symbols), confidence, confidences)
