"""Prefix beam search for CTC: the text whose paths are together most probable (Graves, 2012; Hannun et al., 2014)."""

import math
from dataclasses import dataclass

import numpy as np

from lmim_kedro.text.allowed import MOST_BEAM, Grammar

NEVER = float("-inf")


@dataclass
class _Prefix:
    """Log-probabilities of the paths that wrote a prefix and end in blank, or its last symbol; the confidences."""

    blank: float = NEVER
    symbol: float = NEVER
    confidences: tuple[float, ...] = ()

    @property
    def total(self) -> float:
        return _add(self.blank, self.symbol)

    def join(self, blank: float, symbol: float, confidences: tuple[float, ...]) -> None:
        """Add paths that wrote the same prefix."""
        self.blank, self.symbol = _add(self.blank, blank), _add(self.symbol, symbol)
        before = self.confidences or confidences
        self.confidences = tuple(map(max, before, confidences))


def prefix_search(
    probabilities: np.ndarray, blank: int, width: int, grammar: Grammar | None = None
) -> tuple[list[int], float, tuple[float, ...]]:
    """Find the most probable text of one crop with a beam.

    Args:
        probabilities: (columns, C), of each symbol in each column.
        blank: index of the blank.
        width: prefixes kept at each column, and symbols tried after each.
        grammar: the texts that are allowed; None: all. Where the beam ends without an allowed text it is made wider.

    Returns:
        the symbols; their probability, summed over the paths that the beam followed; and the probability of each symbol
        in the surest column that shows it. No symbols and probability 0 where no allowed text was found.

    Example:
        >>> prefix_search(np.array([[0.25, 0.75], [0.75, 0.25]]), blank=0, width=2)
        ([1], 0.8125, (0.75,))
    """
    found = _search(probabilities, blank, width, grammar)
    allowed = [item for item in found if grammar is None or grammar.allows(item[0])]
    if not allowed:
        return ([], 0.0, ()) if width >= MOST_BEAM else prefix_search(probabilities, blank, 4 * width, grammar)
    symbols, paths = max(allowed, key=lambda item: item[1].total)
    return list(symbols), math.exp(paths.total), paths.confidences


def _search(
    probabilities: np.ndarray, blank: int, width: int, grammar: Grammar | None
) -> list[tuple[tuple[int, ...], _Prefix]]:
    """The prefixes that are left after the last column."""
    beam: dict[tuple[int, ...], _Prefix] = {(): _Prefix(blank=0.0)}
    for column in probabilities:
        likely = [int(symbol) for symbol in np.argsort(-column, kind="stable")[: width + 1] if symbol != blank]
        grown: dict[tuple[int, ...], _Prefix] = {}
        for prefix, paths in beam.items():
            last = prefix[-1] if prefix else None
            stay = grown.setdefault(prefix, _Prefix())
            stay.join(paths.total + _log(column[blank]), NEVER, paths.confidences)
            if last is not None:
                held = (*paths.confidences[:-1], max(paths.confidences[-1], float(column[last])))
                stay.join(NEVER, paths.symbol + _log(column[last]), held)
            for symbol in likely if grammar is None else grammar.following(prefix):
                # The same symbol again is another character only after a blank.
                before = paths.blank if symbol == last else paths.total
                if before > NEVER:
                    longer = grown.setdefault((*prefix, symbol), _Prefix())
                    longer.join(NEVER, before + _log(column[symbol]), (*paths.confidences, float(column[symbol])))
        beam = dict(sorted(grown.items(), key=lambda item: -item[1].total)[:width])
    return list(beam.items())


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else NEVER


def _add(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    high, low = max(a, b), min(a, b)
    return high if low == NEVER else high + math.log1p(math.exp(low - high))
