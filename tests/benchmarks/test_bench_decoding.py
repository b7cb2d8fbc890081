"""The decoding measurements measure what they say."""

import torch

from benchmarks import decoding
from lmim_kedro.models.decoding import greedy
from lmim_kedro.params import ModelParams, RecognizerParams
from lmim_kedro.text.charset import Charset

SMALL = ModelParams(width=24, heads=3, depth=1, recognizer=RecognizerParams(width=64, depth=2, heads=4, ffn=32))


def test_the_measured_decoder_writes_words_of_the_length_asked_for():
    charset = Charset.named("english_94")
    for characters in (1, 7):
        decoder = decoding.decoder_of_words(SMALL, charset, characters)
        written = greedy(decoder, torch.randn(5, 9, 64), charset.end)
        assert written.lengths.tolist() == [characters + 1] * 5


def test_an_entry_gives_crops_a_second_of_both_ways_and_their_ratio():
    found = decoding.measure("small", 4, SMALL)
    assert found["unit"] == "crops/s" and found["value"] > 0
    assert abs(found["value"] / found["reference"] - found["ratio"]) < 1e-6


def test_every_entry_can_be_called_by_its_name():
    assert decoding.measurements() == {"greedy_b1": decoding.greedy_b1, "greedy_b32": decoding.greedy_b32}
