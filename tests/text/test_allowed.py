"""Readings of allowed texts alone: characters, words, patterns; for CTC and for autoregressive decoders."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from lmim_kedro.errors import InputError
from lmim_kedro.models.decoder import AutoregressiveDecoder
from lmim_kedro.models.decoding import beam_search
from lmim_kedro.params import RecognizerParams
from lmim_kedro.text.allowed import Allowed, Grammar
from lmim_kedro.text.charset import Charset
from lmim_kedro.text.ctc import prefix_search
from lmim_kedro.text.spelling import search

ABC = Charset("abc")


def columns(seed: int, count: int = 5, classes: int = 4) -> np.ndarray:
    drawn = np.random.default_rng(seed).gamma(0.4, size=(count, classes))
    return drawn / drawn.sum(1, keepdims=True)


def probability_of_each(probabilities: np.ndarray, blank: int) -> dict[tuple[int, ...], float]:
    """The probability of each text: the sum over all paths that write it."""
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(probabilities.shape[1]), repeat=len(probabilities)):
        text = tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != blank)
        found[text] = found.get(text, 0.0) + math.prod(probabilities[range(len(path)), path])
    return found


@pytest.mark.parametrize("seed", range(8))
def test_ctc_finds_the_most_probable_of_the_words(seed: int) -> None:
    words = ("ab", "ba", "cc", "abc", "a")
    probabilities = columns(seed)
    every = probability_of_each(probabilities, blank=3)
    best = max(words, key=lambda word: every.get(tuple(ABC.indices(word)), 0.0))
    reading = search(ABC, probabilities, 64, Grammar(Allowed(words=words), ABC))
    assert reading.text == best
    assert reading.confidence == pytest.approx(every[tuple(ABC.indices(best))], rel=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_ctc_finds_the_most_probable_text_of_a_pattern_and_of_some_characters(seed: int) -> None:
    probabilities = columns(seed)
    every = probability_of_each(probabilities, blank=3)
    grammar = Grammar(Allowed(characters="ac", pattern="a.c?"), ABC)
    fits = [text for text in every if ABC.text(text) in {"aa", "ac", "aac", "acc"}]
    best = max(fits, key=every.__getitem__)
    assert search(ABC, probabilities, 64, grammar).text == ABC.text(best)


def test_a_narrow_beam_is_made_wider_until_it_ends_with_an_allowed_text() -> None:
    probabilities = np.full((6, 4), 0.001)
    probabilities[:, 0] = 0.997  # "a" is nearly certain, "cab" nearly impossible
    symbols, confidence, _ = prefix_search(probabilities, 3, 1, Grammar(Allowed(words=("cab",)), ABC))
    assert ABC.text(symbols) == "cab" and 0 < confidence < 1e-3


def test_where_no_allowed_text_fits_nothing_is_read_with_no_confidence() -> None:
    reading = search(ABC, columns(0, count=3), 8, Grammar(Allowed(words=("abcabc",)), ABC))
    assert (reading.text, reading.confidence, reading.confidences) == ("", 0.0, ())


@pytest.fixture(scope="module")
def decoder() -> AutoregressiveDecoder:
    torch.manual_seed(5)
    made = AutoregressiveDecoder(RecognizerParams(width=16, depth=1, heads=2, ffn=16), ABC.classes, max_length=5).eval()
    torch.nn.init.normal_(made.classifier.weight, std=1.5)
    return made


def forced(decoder: AutoregressiveDecoder, memory: torch.Tensor, word: str) -> float:
    """Log-probability of a word with its end symbol, symbol by symbol."""
    symbols = [*ABC.indices(word), ABC.end]
    padded = torch.tensor([symbols + [ABC.padding] * (5 - len(symbols))])
    with torch.no_grad():
        logs = decoder(memory, padded).float().log_softmax(-1)[0]
    return float(sum(logs[place, symbol] for place, symbol in enumerate(symbols)))


def test_autoregressive_beam_finds_the_most_probable_word(decoder: AutoregressiveDecoder) -> None:
    words = ("ab", "ba", "ccc", "abca", "b")
    memory = torch.randn(6, 7, 16, generator=torch.Generator().manual_seed(1))
    grammar = Grammar(Allowed(words=words), ABC)
    written = beam_search(decoder, memory, ABC.end, width=16, grammar=grammar)
    for row in range(len(memory)):
        scores = {word: forced(decoder, memory[row : row + 1], word) for word in words}
        best = max(scores, key=scores.__getitem__)
        assert ABC.text(written.symbols[row].tolist()) == best
        total = float(written.log_probabilities[row, : written.lengths[row]].sum())
        assert total == pytest.approx(scores[best], abs=1e-4)


def test_autoregressive_search_never_leaves_what_is_allowed(decoder: AutoregressiveDecoder) -> None:
    memory = torch.randn(6, 7, 16, generator=torch.Generator().manual_seed(2))
    for allowed, fits in (
        (Allowed(characters="b"), lambda text: set(text) <= {"b"}),
        (Allowed(pattern="[ab]c{2}"), lambda text: text in {"acc", "bcc"}),
    ):
        written = beam_search(decoder, memory, ABC.end, width=2, grammar=Grammar(allowed, ABC))
        assert all(fits(ABC.text(symbols)) for symbols in written.symbols.tolist())
    long = beam_search(decoder, memory, ABC.end, width=2, grammar=Grammar(Allowed(words=("abcab",)), ABC))
    assert [ABC.text(symbols) for symbols in long.symbols.tolist()] == [
        ""
    ] * 6  # five characters and an end are too many
    assert torch.isneginf(long.log_probabilities[:, 0]).all()


def test_case_does_not_count_where_the_charset_folds_it() -> None:
    folded = Charset("abc", fold_case=True)
    for allowed in (Allowed(words=("AB",)), Allowed(pattern="A[A-C]"), Allowed(characters="ABAB")):
        assert Grammar(allowed, folded).following(()) in {(0,), (0, 1)}
    assert Grammar(Allowed(words=("AB",)), folded).allows((0, 1))
    with pytest.raises(InputError, match="can write no text that matches 'A'"):
        Grammar(Allowed(pattern="A"), ABC)


def test_what_the_recognizer_cannot_write_is_told() -> None:
    with pytest.raises(InputError, match="cannot write - z: leave it out of the characters"):
        Grammar(Allowed(characters="ab-z"), ABC)
    with pytest.raises(
        InputError, match="2 of 3 words have characters that the recognizer cannot write, such as 'day'"
    ):
        Grammar(Allowed(words=("ab", "day", "x")), ABC)


def test_options_name_characters_words_and_patterns(tmp_path: Path) -> None:
    assert Allowed.of() is None
    assert Allowed.of(charset="digits") == Allowed(characters="0123456789")
    for characters in ("0123-", "0123456789.,", "$0.99", "0123456789/"):
        assert Allowed.of(charset=characters) == Allowed(characters=characters)
    (tmp_path / "characters.txt").write_text("xy\nz\n")
    assert Allowed.of(charset=str(tmp_path / "characters.txt")) == Allowed(characters="xyz")
    (tmp_path / "words.txt").write_bytes("\ufeffEins\r\n\r\nZwei \r\nEins\r\n".encode())
    assert Allowed.of(lexicon=tmp_path / "words.txt") == Allowed(words=("Eins", "Zwei"))


def test_mistakes_in_options_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    for options, message in (
        ({"charset": "chars.txt"}, "there is no file chars.txt"),
        ({"charset": str(tmp_path / "chars")}, "there is no file .*chars"),
        ({"charset": ""}, "no characters are allowed"),
        ({"charset": str(tmp_path / "empty.txt")}, "empty.txt is empty"),
        ({"lexicon": tmp_path / "absent"}, "there is no file .*absent"),
        ({"lexicon": tmp_path / "empty.txt"}, "empty.txt holds no words"),
        ({"pattern": "[a"}, r"'\[a' is no regular expression"),
    ):
        with pytest.raises(InputError, match=message):
            Allowed.of(**options)
