"""Prefix beam search for CTC: the texts whose paths are together most probable (Graves, 2012; Hannun et al., 2014)."""

import math
from dataclasses import dataclass

import numpy as np

from lmim_kedro.text.allowed import MOST_BEAM, Grammar


@dataclass(slots=True)
class _Prefix:
    """Probabilities of the paths that wrote a prefix and end in blank, or its last symbol; the confidences."""

    blank: float = 0.0
    symbol: float = 0.0
    confidences: tuple[float, ...] = ()

    @property
    def total(self) -> float:
        return self.blank + self.symbol

    def join(self, blank: float, symbol: float, confidences: tuple[float, ...]) -> None:
        """Add paths that wrote the same prefix."""
        self.blank += blank
        self.symbol += symbol
        self.confidences = tuple(map(max, self.confidences, confidences)) if self.confidences else confidences


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that the columns of a CTC recognizer may show.

    Attributes:
        symbols: its symbols.
        log_probability: of the text, summed over the paths that the beam followed.
        confidences: the probability of each symbol in the surest column that shows it.
    """

    symbols: tuple[int, ...]
    log_probability: float
    confidences: tuple[float, ...]


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
    found = candidates(probabilities, blank, width, grammar)
    allowed = [each for each in found if grammar is None or grammar.allows(each.symbols)]
    if not allowed:
        return ([], 0.0, ()) if width >= MOST_BEAM else prefix_search(probabilities, blank, 4 * width, grammar)
    best = allowed[0]
    return list(best.symbols), math.exp(best.log_probability), best.confidences


def candidates(
    probabilities: np.ndarray, blank: int, width: int, grammar: Grammar | None = None, least: float = 0.0
) -> list[Candidate]:
    """The most probable texts of one crop, the best one first.

    Args:
        probabilities: (columns, C), of each symbol in each column.
        blank: index of the blank.
        width: number of texts, of prefixes kept at each column, and of symbols tried after each.
        grammar: texts of which they are beginnings; None: all.
        least: probability of a symbol that is tried, without a grammar. 0.001 makes a search thirty times as fast.

    Example:
        >>> [each.symbols for each in candidates(np.array([[0.6, 0.1, 0.3]]), blank=0, width=3)]
        [(), (2,), (1,)]
    """
    beam: dict[tuple[int, ...], _Prefix] = {(): _Prefix(blank=1.0)}
    scale = 0.0
    for column, likely in zip(probabilities.tolist(), _likely(probabilities, blank, width, least), strict=True):
        grown: dict[tuple[int, ...], _Prefix] = {}
        for prefix, paths in beam.items():
            total, last = paths.total, prefix[-1] if prefix else None
            stay = grown.setdefault(prefix, _Prefix())
            stay.join(total * column[blank], 0.0, paths.confidences)
            if last is not None:
                held = paths.confidences
                if column[last] > held[-1]:
                    held = (*held[:-1], column[last])
                stay.join(0.0, paths.symbol * column[last], held)
            for symbol in likely if grammar is None else grammar.following(prefix):
                # The same symbol again is another character only after a blank.
                before = paths.blank if symbol == last else total
                if before:
                    longer = grown.setdefault((*prefix, symbol), _Prefix())
                    longer.join(0.0, before * column[symbol], (*paths.confidences, column[symbol]))
        kept = sorted(grown.items(), key=lambda item: -item[1].total)[:width]
        # Probabilities relative to the best prefix's: those of many columns would be too small for a float.
        most = kept[0][1].total
        if not most:
            return []
        scale += math.log(most)
        for _, paths in kept:
            paths.blank, paths.symbol = paths.blank / most, paths.symbol / most
        beam = dict(kept)
    return [
        Candidate(prefix, scale + math.log(paths.total), paths.confidences)
        for prefix, paths in beam.items()
        if paths.total
    ]


def _likely(probabilities: np.ndarray, blank: int, width: int, least: float) -> list[list[int]]:
    """For each column, the symbols that are tried, the most probable one first."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, : width + 1]
    enough = np.take_along_axis(probabilities, order, 1) >= least
    enough[:, 0] = True
    kept = enough & (order != blank)
    return [row[mask].tolist() for row, mask in zip(order, kept, strict=True)]
