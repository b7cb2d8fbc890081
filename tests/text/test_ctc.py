"""Prefix beam search finds the text whose paths are together most probable."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby, permutations, product

import numpy as np
import pytest

from lmim_kedro.text.ctc import candidates, prefix_search

BLANK = 3


def every_text(probabilities: np.ndarray) -> dict[tuple[int, ...], float]:
    """Each text's probability, summed over all paths."""
    texts: dict[tuple[int, ...], float] = defaultdict(float)
    for path in product(range(probabilities.shape[1]), repeat=len(probabilities)):
        text = tuple(symbol for symbol, _ in groupby(path) if symbol != BLANK)
        texts[text] += float(np.prod([column[symbol] for column, symbol in zip(probabilities, path, strict=True)]))
    return texts


@pytest.mark.parametrize("seed", range(8))
def test_a_beam_wide_enough_for_all_prefixes_is_exact(seed):
    probabilities = np.random.default_rng(seed).dirichlet(np.full(4, 0.5), 5)
    texts = every_text(probabilities)
    symbols, confidence, confidences = prefix_search(probabilities, BLANK, 1000)
    assert tuple(symbols) == max(texts, key=texts.__getitem__)
    assert confidence == pytest.approx(max(texts.values()))
    assert len(confidences) == len(symbols) and all(0 < value <= 1 for value in confidences)


def test_many_paths_of_one_text_beat_the_single_best_path():
    probabilities = np.array([[0.4, 0.0, 0.0, 0.6]] * 2)  # blank, blank: 0.36; "0" by three paths: 0.64
    symbols, confidence, confidences = prefix_search(probabilities, BLANK, 5)
    assert symbols == [0] and confidence == pytest.approx(0.64) and confidences == (0.4,)


def test_a_repeated_character_needs_a_blank_between():
    sure = np.eye(4)[[0, 0, BLANK, 0, 1]]
    symbols, confidence, confidences = prefix_search(sure, BLANK, 3)
    assert (symbols, confidence, confidences) == ([0, 0, 1], 1.0, (1.0, 1.0, 1.0))


def test_nothing_but_blanks_is_the_empty_text():
    assert prefix_search(np.eye(4)[[BLANK] * 3], BLANK, 3) == ([], 1.0, ())


@pytest.mark.parametrize("columns", permutations([0.9, 0.7, 0.6]))
def test_a_character_is_as_sure_as_its_surest_column(columns):
    probabilities = np.array([[shown, 0.0, 0.0, 1 - shown] for shown in columns])
    probabilities = np.concatenate([probabilities, np.eye(4)[[BLANK, 1]]])
    symbols, _, confidences = prefix_search(probabilities, BLANK, 4)
    assert (symbols, confidences) == ([0, 1], (0.9, 1.0))


def test_the_most_probable_symbol_is_tried_however_improbable_it_is():
    found = candidates(np.array([[0.5, 0.3, 0.2]]), blank=1, width=2, least=0.9)
    assert [each.symbols for each in found] == [(0,), ()]
