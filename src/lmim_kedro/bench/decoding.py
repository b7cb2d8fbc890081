"""How fast the autoregressive decoder writes, beside the plain loop that decodes everything anew at every step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from lmim_kedro.models.charset import Charset
from lmim_kedro.models.decoder import AutoregressiveDecoder
from lmim_kedro.models.decoding import greedy
from lmim_kedro.params import ModelParams

WORD = 7  # characters
REPEATS, SECONDS = 3, 1.0  # at least; the fastest counts: the others waited for something else on the machine


def measurements() -> dict[str, Callable[[], dict[str, Any]]]:
    """The entries of this module by name."""
    return {"greedy_b1": greedy_b1, "greedy_b32": greedy_b32}


def greedy_b1() -> dict[str, Any]:
    """Greedy decoding of one crop at a time, words of 7 characters; decoder of the paper's size."""
    return measure("greedy_b1", 1)


def greedy_b32() -> dict[str, Any]:
    """Greedy decoding of 32 crops at a time, words of 7 characters; decoder of the paper's size."""
    return measure("greedy_b32", 32)


def measure(name: str, batch: int, model: ModelParams | None = None) -> dict[str, Any]:
    """Crops a second of greedy decoding and of the uncached loop, features of the crops given.

    The loop's steps all cost the same, so a few are timed, and their time is scaled to all of them.

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
    seconds = _fastest(read)
    plain = _fastest(partial(_uncached_step, decoder, memory)) * decoder.max_length
    return {
        "name": name,
        "value": batch / seconds,
        "unit": "crops/s",
        "reference": batch / plain,
        "ratio": plain / seconds,
    }


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


def _fastest(work: Callable[[], Any]) -> float:
    seconds: list[float] = []
    while len(seconds) < REPEATS or sum(seconds) < SECONDS:
        start = perf_counter()
        work()
        seconds.append(perf_counter() - start)
    return min(seconds)
