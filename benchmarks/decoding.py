"""How fast the autoregressive decoder writes, beside the plain loop that decodes everything anew at every step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.measure import Measurement, compare
from lmim_kedro.models.decoder import AutoregressiveDecoder
from lmim_kedro.models.decoding import greedy
from lmim_kedro.params import ModelParams
from lmim_kedro.text.charset import Charset

WORD = 7  # characters


def measurements() -> dict[str, Callable[[], Measurement]]:
    """The entries of this module by name."""
    return {"greedy_b1": greedy_b1, "greedy_b32": greedy_b32}


def greedy_b1() -> Measurement:
    """Greedy decoding of one crop at a time, words of 7 characters; decoder of the paper's size."""
    return measure("greedy_b1", 1)


def greedy_b32() -> Measurement:
    """Greedy decoding of 32 crops at a time, words of 7 characters; decoder of the paper's size."""
    return measure("greedy_b32", 32)


def measure(name: str, batch: int, model: ModelParams | None = None) -> Measurement:
    """Crops a second of greedy decoding and of the uncached loop, features of the crops given.

    The loop's steps all cost the same, so one is timed: it counts as 1 / max_length of the crops.

    Args:
        name: of the entry.
        batch: crops decoded at once.
        model: sizes; None: the paper's.
    """
    model = model or ModelParams()
    charset = Charset.named("english_94")
    decoder = decoder_of_words(model, charset, WORD)
    memory = torch.randn(batch, 1 + model.tokens, model.recognizer.width, generator=torch.Generator().manual_seed(0))
    read = partial(greedy, decoder, memory, charset.end)
    if read().lengths.tolist() != [WORD + 1] * batch:
        raise AssertionError(f"the decoder was made to write {WORD} characters")
    step = partial(_uncached_step, decoder, memory)
    return compare(name, read, step, batch, reference_crops=batch / decoder.max_length, turns=3)


def decoder_of_words(
    model: ModelParams, charset: Charset, characters: int, max_length: int = 25
) -> AutoregressiveDecoder:
    """A decoder of random weights whose every word has that many characters: it ends by the place, not by what it sees.

    Args:
        model: sizes.
        charset: what it writes.
        characters: of each word.
        max_length: decoding steps at most.
    """
    torch.manual_seed(0)
    decoder = AutoregressiveDecoder(model.recognizer, charset.classes, max_length).eval()
    direction = torch.randn(model.recognizer.width)
    with torch.no_grad():
        decoder.position_table[0, characters] += 1000 * direction
        decoder.classifier.weight[charset.end] = direction
        decoder.classifier.bias[charset.end] = -model.recognizer.width / 2
    return decoder


@torch.no_grad()
def _uncached_step(decoder: AutoregressiveDecoder, memory: Tensor) -> Tensor:
    written = torch.zeros(len(memory), decoder.max_length, dtype=torch.int64)
    return decoder(memory, written)[:, WORD].softmax(-1).argmax(-1)
