"""Decoding finds what the plain loop finds, which decodes each crop alone and everything anew at every step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from lmim_kedro.models import decoding
from lmim_kedro.models.decoder import AutoregressiveDecoder
from lmim_kedro.models.decoding import Written, beam_search, greedy, step_probabilities
from lmim_kedro.params import RecognizerParams
from lmim_kedro.text.charset import Charset

CHARSET = Charset("abcdefghijkl")
LONGEST, CROPS, SEEDS = 11, 24, range(12)
SIZE = RecognizerParams(width=16, depth=2, heads=4, ffn=16, dropout=0.0)

Word = tuple[list[int], list[float]]
"""Symbols, the end symbol included, and the log-probability of each."""


def random_model(seed: int, longest: int = LONGEST) -> tuple[AutoregressiveDecoder, Tensor]:
    """A decoder with weights so large that words differ in text and length, and features of crops."""
    torch.manual_seed(seed)
    decoder = AutoregressiveDecoder(SIZE, CHARSET.classes, longest).eval()
    for weight in (decoder.classifier.weight, decoder.trg_word_emb.weight):
        nn.init.normal_(weight, std=1.5)
    decoder.classifier.bias.data[CHARSET.end] = 2.5
    return decoder, torch.randn(CROPS, 7, SIZE.width) * 3


@torch.no_grad()
def next_log_probabilities(decoder: AutoregressiveDecoder, crop: Tensor, symbols: list[int]) -> Tensor:
    written = torch.tensor([symbols + [CHARSET.padding] * (decoder.max_length - len(symbols))])
    return decoder(crop[None], written)[0, len(symbols)].log_softmax(-1)


def slow_greedy(decoder: AutoregressiveDecoder, crop: Tensor) -> Word:
    symbols: list[int] = []
    logs: list[float] = []
    while len(symbols) < decoder.max_length and symbols[-1:] != [CHARSET.end]:
        log, symbol = next_log_probabilities(decoder, crop, symbols).max(0)
        symbols, logs = [*symbols, int(symbol)], [*logs, float(log)]
    return symbols, logs


def slow_beam(decoder: AutoregressiveDecoder, crop: Tensor, width: int, power: float) -> Word:
    """No early stop: every step is made, and the best of all hypotheses that ended is taken at the end."""
    beam: list[Word] = [([], [])]
    ended: list[Word] = []
    for step in range(decoder.max_length):
        grown = [
            ([*symbols, number], [*logs, float(log)])
            for symbols, logs in beam
            for number, log in enumerate(next_log_probabilities(decoder, crop, symbols))
        ]
        best = sorted(grown, key=lambda word: -sum(word[1]))[:width]
        last = step == decoder.max_length - 1
        ended += [word for word in best if last or word[0][-1] == CHARSET.end]
        beam = [word for word in best if word[0][-1] != CHARSET.end]
        if not beam:
            break
    return max(ended, key=lambda word: sum(word[1]) / len(word[0]) ** power)


def assert_same(written: Written, words: list[Word]) -> None:
    for symbols, logs, length, (expected, expected_logs) in zip(*written, words, strict=True):
        assert symbols[:length].tolist() == expected
        torch.testing.assert_close(logs[:length], torch.tensor(expected_logs), atol=2e-4, rtol=2e-4)
        assert (symbols[length:] == CHARSET.end).all() and (logs[length:] == 0).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_greedy_equals_the_plain_loop_for_words_of_many_lengths(seed):
    decoder, memory = random_model(seed)
    written = greedy(decoder, memory, CHARSET.end)
    assert len(set(written.lengths.tolist())) > 3
    assert_same(written, [slow_greedy(decoder, crop) for crop in memory])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("width", "power"), [(3, 0.0), (5, 1.0)])
def test_beam_search_equals_the_plain_loop(seed, width, power):
    decoder, memory = random_model(seed, longest=7)
    written = beam_search(decoder, memory[:6], CHARSET.end, width, power)
    assert_same(written, [slow_beam(decoder, crop, width, power) for crop in memory[:6]])


def test_a_beam_of_one_is_greedy():
    for seed in SEEDS:
        decoder, memory = random_model(seed)
        for ours, theirs in zip(
            beam_search(decoder, memory, CHARSET.end, 1), greedy(decoder, memory, CHARSET.end), strict=True
        ):
            torch.testing.assert_close(ours, theirs)


def test_a_wide_beam_finds_words_that_are_at_least_as_probable_and_some_that_are_more():
    gains = []
    for seed in SEEDS:
        decoder, memory = random_model(seed)
        wide = beam_search(decoder, memory, CHARSET.end, 12).log_probabilities.sum(1)
        gains.append(wide - greedy(decoder, memory, CHARSET.end).log_probabilities.sum(1))
    assert torch.cat(gains).median() >= 0
    assert (torch.cat(gains) > 0.1).float().mean() > 0.1


def test_length_normalization_makes_words_longer():
    plain, normalized = [], []
    for seed in SEEDS:
        decoder, memory = random_model(seed)
        plain.append(beam_search(decoder, memory, CHARSET.end, 5).lengths)
        normalized.append(beam_search(decoder, memory, CHARSET.end, 5, length_power=1.0).lengths)
    assert torch.cat(normalized).float().mean() > torch.cat(plain).float().mean() + 0.3


def test_a_crop_reads_the_same_alone_as_in_any_batch():
    decoder, memory = random_model(3)
    for decode in (greedy, lambda *given: beam_search(*given, 4)):
        together = decode(decoder, memory, CHARSET.end)
        backwards = decode(decoder, memory.flip(0), CHARSET.end)
        assert torch.equal(together.symbols, backwards.symbols.flip(0))
        for row in range(0, CROPS, 5):
            alone = decode(decoder, memory[row : row + 1], CHARSET.end)
            assert torch.equal(alone.symbols[0], together.symbols[row])
            torch.testing.assert_close(alone.log_probabilities[0], together.log_probabilities[row], atol=2e-4, rtol=0)


def test_places_are_sines_on_even_and_cosines_on_odd_features():
    table = random_model(0)[0].position_table
    assert table.shape == (1, 200, SIZE.width)
    waves = [wave(150 / 10_000 ** (place / SIZE.width)) for place in (0, 2, 14) for wave in (math.sin, math.cos)]
    assert table[0, 150, [0, 1, 2, 3, 14, 15]].tolist() == pytest.approx(waves, abs=1e-6)


def test_decoding_twice_gives_the_same_bits():
    decoder, memory = random_model(5)
    for decode in (greedy, lambda *given: beam_search(*given, 4)):
        for one, other in zip(*(decode(decoder, memory, CHARSET.end) for _ in range(2)), strict=True):
            assert torch.equal(one, other)


def test_the_work_shrinks_with_the_crops_that_are_still_being_written(monkeypatch):
    decoder, memory = random_model(1)
    rows = []
    embed = decoder.embed
    monkeypatch.setattr(decoder, "embed", lambda symbols, first: rows.append(len(symbols)) or embed(symbols, first))
    lengths = greedy(decoder, memory, CHARSET.end).lengths
    assert len(rows) == lengths.max()
    assert rows[0] == CROPS and rows == sorted(rows, reverse=True)
    for place, count in enumerate(rows):
        assert (lengths > place).sum() <= count < (lengths > place).sum() / 0.75 + 1


def test_words_are_the_same_however_seldom_the_host_looks_which_have_ended(monkeypatch):
    decoder, memory = random_model(3)
    often = greedy(decoder, memory, CHARSET.end)
    monkeypatch.setattr(decoding, "LOOK_EVERY", {"cpu": 3})
    seldom = greedy(decoder, memory, CHARSET.end)
    assert torch.equal(often.symbols, seldom.symbols) and torch.equal(often.lengths, seldom.lengths)
    torch.testing.assert_close(often.log_probabilities, seldom.log_probabilities)


def test_probabilities_of_all_symbols_are_those_of_greedy_words():
    decoder, memory = random_model(2)
    probabilities, written = step_probabilities(decoder, memory), greedy(decoder, memory, CHARSET.end)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(CROPS, LONGEST))
    for row, length in enumerate(written.lengths.tolist()):
        best, symbols = probabilities[row, :length].max(-1)
        assert symbols.tolist() == written.symbols[row, :length].tolist()
        assert math.isclose(best.log().sum(), written.log_probabilities[row].sum(), abs_tol=1e-3)
