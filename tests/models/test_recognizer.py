"""The recogniser: decoding, its loss, its two heads."""

import torch
import torch.nn.functional as F

from lmim_kedro.models.charset import Charset
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.params import ModelParams

CHARSET = Charset("abcdefgh")


def slow_greedy(recognizer: Recognizer, memory: torch.Tensor) -> torch.Tensor:
    """The uncached loop: every step decodes all symbols so far anew."""
    written = torch.full((len(memory), recognizer.max_length), CHARSET.padding)
    steps = []
    for step in range(recognizer.max_length):
        steps.append(recognizer.decoder(memory, written)[:, step].softmax(-1))
        written[:, step] = steps[-1].argmax(-1)
    return torch.stack(steps, 1)


def test_cached_decoding_equals_the_uncached_loop(released_size, crops):
    for seed in range(5):
        torch.manual_seed(seed)
        recognizer = Recognizer(released_size, CHARSET, max_length=9).eval()
        for weight in (recognizer.decoder.classifier.weight, recognizer.decoder.trg_word_emb.weight):
            torch.nn.init.normal_(weight, std=3.0)  # so that symbols vary
        with torch.no_grad():
            memory = recognizer.memory(crops)
            slow = slow_greedy(recognizer, memory)
        assert len(set(slow.argmax(-1).flatten().tolist())) > 2
        torch.testing.assert_close(recognizer.decoder.greedy(memory, None), slow, atol=1e-5, rtol=1e-4)


def test_reading_stops_at_the_end_symbol_and_multiplies_probabilities(released_size, crops):
    recognizer = Recognizer(released_size, CHARSET, max_length=9).eval()
    reading = recognizer._until_end([0, 2, CHARSET.end, 3, 3], [0.5, 0.5, 0.8, 0.1, 0.1])
    assert reading.text == "ac"
    assert abs(reading.confidence - 0.2) < 1e-9


def test_the_loss_is_the_sum_over_symbols_divided_by_the_number_of_words(released_size, crops):
    recognizer = Recognizer(released_size, CHARSET, max_length=9).eval()
    labels = ["abc", "h", "fade"]
    targets, lengths = recognizer.targets(labels)
    assert lengths.tolist() == [4, 2, 5]
    assert targets[1].tolist() == [7, CHARSET.end] + [CHARSET.padding] * 7
    logits = recognizer.decoder(recognizer.memory(crops), targets)
    total = sum(F.cross_entropy(logits[i, :n], targets[i, :n], reduction="sum") for i, n in enumerate(lengths))
    torch.testing.assert_close(recognizer(crops, labels)["loss"], total / 3)


def test_a_symbol_never_sees_what_is_written_after_it(released_size, crops):
    recognizer = Recognizer(released_size, CHARSET, max_length=9).eval()
    memory = recognizer.memory(crops)
    one, other = recognizer.targets(["abcdef"] * 3)[0], recognizer.targets(["abchhh"] * 3)[0]
    a, b = recognizer.decoder(memory, one), recognizer.decoder(memory, other)
    torch.testing.assert_close(a[:, :4], b[:, :4])
    assert not torch.allclose(a[:, 4], b[:, 4])


def test_ctc_reads_repeated_characters_only_across_a_blank(columns_size):
    recognizer = Recognizer(columns_size, CHARSET, "ctc", max_length=9)
    blank = len(CHARSET)
    reading = recognizer._collapse([0, 0, blank, 0, 1, 1, blank, blank], [1.0] * 8)
    assert reading.text == "aab"


def test_ctc_learns_two_crops_by_heart(columns_size, crops):
    recognizer = Recognizer(columns_size, CHARSET, "ctc", max_length=9)
    optimiser = torch.optim.AdamW(recognizer.parameters(), lr=3e-3)
    for _ in range(120):
        loss = recognizer(crops[:2], ["abba", "cafe"])["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert [reading.text for reading in recognizer.eval().read(crops[:2])] == ["abba", "cafe"]


def test_parameter_counts_are_the_published_ones():
    for name, count in (("english_94", 35_791_457), ("chinese_7934", 43_827_457)):
        recognizer = Recognizer(ModelParams(), Charset.named(name))
        assert sum(parameter.numel() for parameter in recognizer.parameters()) == count
