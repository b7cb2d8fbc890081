"""The recognizer: decoding, its loss, its two heads."""

import math

import pytest
import torch
import torch.nn.functional as F

from lmim_kedro.models.decoding import Written
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.params import ModelParams
from lmim_kedro.text.charset import Charset
from lmim_kedro.text.spelling import collapse

CHARSET = Charset("abcdefgh")


def test_a_reading_stops_at_the_end_symbol_and_multiplies_probabilities(released_size):
    recognizer = Recognizer(released_size, CHARSET, max_length=5)
    written = Written(
        torch.tensor([[0, 2, CHARSET.end, CHARSET.end, CHARSET.end], [1, CHARSET.unknown, 3, 4, 5]]),
        torch.tensor([[0.5, 0.25, 0.8, 1, 1], [0.5, 0.5, 0.5, 1, 1]]).log(),
        torch.tensor([3, 5]),
    )
    first, second = recognizer.head.spell(written)
    assert (first.text, second.text) == ("ac", "bdef")
    assert first.confidence == pytest.approx(0.1) and second.confidence == pytest.approx(0.125)
    assert first.confidences == pytest.approx((0.5, 0.25))
    assert second.confidences == pytest.approx((0.5, 0.5, 1, 1))  # one for each character of the text


def test_the_loss_is_the_sum_over_symbols_divided_by_the_number_of_words(released_size, crops):
    recognizer = Recognizer(released_size, CHARSET, max_length=9).eval()
    labels = ["abc", "h", "fade"]
    targets, lengths = recognizer.head.targets(labels)
    assert lengths.tolist() == [4, 2, 5]
    assert targets[1].tolist() == [7, CHARSET.end] + [CHARSET.padding] * 7
    logits = recognizer.decoder(recognizer.linear_norm(recognizer.encoder(crops)), targets)
    total = sum(F.cross_entropy(logits[i, :n], targets[i, :n], reduction="sum") for i, n in enumerate(lengths))
    torch.testing.assert_close(recognizer.head.loss(recognizer(crops, targets), targets, lengths), total / 3)


def test_a_symbol_never_sees_what_is_written_after_it(released_size, crops):
    recognizer = Recognizer(released_size, CHARSET, max_length=9).eval()
    memory = recognizer.linear_norm(recognizer.encoder(crops))
    one, other = recognizer.head.targets(["abcdef"] * 3)[0], recognizer.head.targets(["abchhh"] * 3)[0]
    a, b = recognizer.decoder(memory, one), recognizer.decoder(memory, other)
    torch.testing.assert_close(a[:, :4], b[:, :4])
    assert not torch.allclose(a[:, 4], b[:, 4])


def test_ctc_reads_repeated_characters_only_across_a_blank():
    blank = len(CHARSET)
    reading = collapse(CHARSET, [0, 0, blank, 0, 1, 1, blank, blank], [0.5, 0.7, 0.9, 0.6, 1, 0.8, 1, 1])
    assert reading.text == "aab"
    assert reading.confidences == (0.7, 0.6, 1)
    assert reading.confidence == pytest.approx(0.5 * 0.7 * 0.9 * 0.6 * 0.8)


def test_the_ctc_loss_is_the_sum_over_paths_divided_by_the_number_of_words(columns_size, crops):
    recognizer = Recognizer(columns_size, CHARSET, "ctc", max_length=9)
    loss = recognizer.head.loss(torch.zeros(2, 2, 9), *recognizer.head.targets(["a", "bc"]))  # 81 paths, as probable
    assert loss.item() == pytest.approx((math.log(81 / 3) + math.log(81)) / 2)  # aa, a-, -a; bc


@pytest.mark.parametrize(
    ("size", "decoder"), [("columns_size", "ctc"), ("stem_size", "ctc"), ("stem_size", "autoregressive")]
)
def test_two_crops_are_learned_by_heart(size, decoder, crops, request):
    recognizer = Recognizer(request.getfixturevalue(size), CHARSET, decoder, max_length=9)
    optimizer = torch.optim.AdamW(recognizer.parameters(), lr=3e-3)
    symbols, lengths = recognizer.head.targets(["abba", "cafe"])
    for _ in range(120):
        loss = recognizer.head.loss(recognizer(crops[:2], symbols), symbols, lengths)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert [reading.text for reading in recognizer.eval().read_batch(crops[:2])] == ["abba", "cafe"]


def test_parameter_counts_are_the_published_ones():
    for name, count in (("english_94", 35_791_457), ("chinese_7934", 43_827_457)):
        recognizer = Recognizer(ModelParams(), Charset.named(name))
        assert sum(parameter.numel() for parameter in recognizer.parameters()) == count
