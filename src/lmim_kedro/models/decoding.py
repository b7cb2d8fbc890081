"""Decoding: the words that an autoregressive decoder finds most probable, greedily or by beam search.

Keys and values of what is written are kept between steps, a crop is done at its end symbol, and the batch shrinks as
crops get done. Symbols are those of the plain loop that decodes everything anew at every step (tests compare them).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from lmim_kedro.models.decoder import AutoregressiveDecoder
from lmim_kedro.text.allowed import Grammar, may_follow

SHRINK_AT = 0.75  # of a batch's crops still being written: fewer, and the others' rows are taken out
LOOK_EVERY = {"cpu": 1}  # steps between two looks at which crops have ended; elsewhere 4, as the host waits for a look
GROWTH = 8  # places by which the kept keys and values grow: most words need no more


Tempered = Callable[[Tensor], Tensor]


def _as_they_are(logits: Tensor) -> Tensor:
    return logits


class Written(NamedTuple):
    """The words of B crops.

    Attributes:
        symbols: (B, L) int64; the end symbol after the end of a word.
        log_probabilities: (B, L), each symbol's given those before it; 0 after the end of a word.
        lengths: (B,) int64, number of symbols with the end symbol.
    """

    symbols: Tensor
    log_probabilities: Tensor
    lengths: Tensor


class Writing:
    """B crops being written about, K hypotheses each, symbol by symbol.

    Args:
        decoder: the decoder.
        memory: features of the crops, (B, S, W).
        hypotheses: number K of hypotheses per crop.
    """

    def __init__(self, decoder: AutoregressiveDecoder, memory: Tensor, hypotheses: int = 1) -> None:
        self.decoder, self.memory, self.hypotheses, self.place = decoder, memory, hypotheses, 0
        heads = decoder.layers[0].self_attn.heads
        shape = (len(decoder.layers), 2, len(memory) * hypotheses, heads, 0, memory.shape[2] // heads)
        self.past = memory.new_empty(shape)

    def write(self, symbols: Tensor) -> Tensor:
        """Put a symbol (B * K,) after each hypothesis; returns logits (B * K, C) of the next one."""
        if self.place == self.past.shape[4]:
            self.past = F.pad(self.past, (0, 0, 0, GROWTH))
        token = self.decoder.embed(symbols[:, None], self.place)
        for layer, past in zip(self.decoder.layers, self.past, strict=True):
            token = layer.write(token, past, self.place, self.memory)
        self.place += 1
        return self.decoder.classifier(self.decoder.layer_norm(token[:, 0])).float()

    def keep(self, crops: Tensor) -> None:
        """Go on with these crops alone, given by their rows."""
        self.memory = self.memory[crops]
        rows = crops[:, None] * self.hypotheses + torch.arange(self.hypotheses, device=crops.device)
        self.follow(rows.flatten())

    def follow(self, rows: Tensor) -> None:
        """Let each hypothesis go on from what another one has written, given by its row."""
        self.past = self.past.index_select(2, rows)


@torch.no_grad()
def greedy(decoder: AutoregressiveDecoder, memory: Tensor, end: int, tempered: Tempered = _as_they_are) -> Written:
    """The most probable symbol at each step, up to the end symbol or decoder.max_length steps.

    Args:
        decoder: the decoder, in evaluation mode.
        memory: features of the crops, (B, S, W).
        end: the end symbol.
        tempered: what logits become before they are probabilities.

    Example:
        >>> from lmim_kedro.params import RecognizerParams
        >>> decoder = AutoregressiveDecoder(RecognizerParams(width=8, depth=1, heads=2, ffn=8), 6, max_length=4).eval()
        >>> greedy(decoder, torch.zeros(2, 5, 8), end=3).symbols.shape
        torch.Size([2, 4])
    """
    symbols = torch.full((len(memory), decoder.max_length), end, device=memory.device)
    log_probabilities = torch.zeros(symbols.shape, device=memory.device)
    crops = torch.arange(len(memory), device=memory.device)
    live = torch.ones_like(crops, dtype=torch.bool)
    writing = Writing(decoder, memory)
    symbol = torch.full_like(crops, decoder.start)
    for place in range(decoder.max_length):
        logits = tempered(writing.write(symbol))
        best, symbol = logits.max(-1)
        symbols[crops, place] = torch.where(live, symbol, end)
        log_probabilities[crops, place] = torch.where(live, best - logits.logsumexp(-1), 0.0)
        live &= symbol != end
        if (place + 1) % LOOK_EVERY.get(memory.device.type, 4):
            continue
        count = int(live.sum())
        if count == 0:
            break
        if count <= SHRINK_AT * len(crops):
            kept = live.nonzero()[:, 0]
            writing.keep(kept)
            crops, symbol, live = crops[kept], symbol[kept], live[kept]
    return _measured(symbols, log_probabilities, end)


@torch.no_grad()
def beam_search(
    decoder: AutoregressiveDecoder,
    memory: Tensor,
    end: int,
    width: int,
    length_power: float = 0.0,
    released: bool = False,
    grammar: Grammar | None = None,
    tempered: Tempered = _as_they_are,
) -> Written:
    """The best hypothesis among those that a beam of `width` finds.

    A hypothesis is ranked by the sum of its log-probabilities divided by length ** length_power; 0, the released
    code's way, favors short words. One that ends leaves the beam. A crop is done when no hypothesis that is still
    being written can become better than the best one that has ended.

    Args:
        decoder: the decoder, in evaluation mode.
        memory: features of the crops, (B, S, W).
        end: the end symbol.
        width: number K of hypotheses kept at each step.
        length_power: 0 to 1.
        released: search as the released code does, to compare with it: there a hypothesis that moves to another place
            of the beam goes on from the keys and values of what was there before, so its next symbol is not its own.
        grammar: the texts that are allowed; None: all. Where none was found, nothing is written, and its first
            log-probability is -inf.
        tempered: what logits become before they are probabilities.

    Example:
        >>> from lmim_kedro.params import RecognizerParams
        >>> decoder = AutoregressiveDecoder(RecognizerParams(width=8, depth=1, heads=2, ffn=8), 6, max_length=4).eval()
        >>> beam_search(decoder, torch.zeros(2, 5, 8), end=3, width=5).log_probabilities.shape
        torch.Size([2, 4])
    """
    device, longest, batch, never = memory.device, decoder.max_length, len(memory), float("-inf")
    best_rank = torch.full((batch,), never, device=device)
    best_symbols = torch.full((batch, longest), end, device=device)
    best_logs = torch.zeros(best_symbols.shape, device=device)
    crops = torch.arange(batch, device=device)
    symbols = torch.full((batch, width, longest), end, device=device)
    logs = torch.zeros(symbols.shape, device=device)
    scores = torch.full((batch, width), never, device=device)
    scores[:, 0] = 0.0  # at first all hypotheses are the same: K copies of one would fill the beam with its successors
    writing = Writing(decoder, memory, width)
    symbol = torch.full((batch, width), decoder.start, device=device)
    for place in range(longest):
        step = tempered(writing.write(symbol.flatten())).log_softmax(-1).unflatten(0, (-1, width))
        if grammar is not None:
            may = may_follow(grammar, symbols[:, :, :place].cpu().numpy(), step.shape[2], end, place == longest - 1)
            step = step.masked_fill(~torch.from_numpy(may).to(device), never)
        classes = step.shape[2]
        # The K best of the K * C ways to go on, over all hypotheses of a crop; -inf keeps those that ended out of it.
        scores, chosen = (scores[..., None] + step).flatten(1).topk(width)
        origin, symbol = chosen // classes, chosen % classes
        # A hypothesis may have several successors, or none: each takes over what its origin wrote.
        symbols = symbols.gather(1, origin[..., None].expand_as(symbols))
        logs = logs.gather(1, origin[..., None].expand_as(logs))
        symbols[:, :, place], logs[:, :, place] = symbol, step.flatten(1).gather(1, chosen)

        # At the last step every hypothesis ends, with or without an end symbol.
        ended = (symbol == end) if place < longest - 1 else torch.ones_like(symbol, dtype=torch.bool)
        rank, which = (scores / (place + 1) ** length_power).masked_fill(~ended, never).max(1)
        # Strictly better, so that of equal hypotheses the one that ended first stays.
        better = (rank > best_rank[crops]).nonzero()[:, 0]
        best_rank[crops[better]] = rank[better]
        best_symbols[crops[better]] = symbols[better, which[better]]
        best_logs[crops[better]] = logs[better, which[better]]
        scores = scores.masked_fill(ended, never)

        # Log-probabilities only fall, and the largest length flatters a score most: this bounds what can still come.
        live = scores.amax(1) / longest**length_power > best_rank[crops]
        count = int(live.sum())
        if count == 0:
            break
        if not released:
            # Keys and values must follow their hypothesis to its new place in the beam.
            writing.follow((origin + width * torch.arange(len(crops), device=device)[:, None]).flatten())
        if count <= SHRINK_AT * len(crops):
            # Rows that are taken out cost nothing any more, but taking them out copies the others: not at every step.
            kept = live.nonzero()[:, 0]
            writing.keep(kept)
            crops, scores, symbol, symbols, logs = (each[kept] for each in (crops, scores, symbol, symbols, logs))
    if grammar is not None:
        best_logs[best_rank == never, 0] = never
    return _measured(best_symbols, best_logs, end)


@torch.no_grad()
def step_probabilities(decoder: AutoregressiveDecoder, memory: Tensor) -> Tensor:
    """Probabilities (B, L, C) of all symbols at each greedy step, L = max_length: never stopped at the end symbol."""
    writing, steps = Writing(decoder, memory), []
    symbol = torch.full((len(memory),), decoder.start, device=memory.device)
    for _ in range(decoder.max_length):
        steps.append(writing.write(symbol).softmax(-1))
        symbol = steps[-1].argmax(-1)
    return torch.stack(steps, 1)


def _measured(symbols: Tensor, log_probabilities: Tensor, end: int) -> Written:
    longest = symbols.shape[1]
    lengths = ((symbols != end).cumprod(1).sum(1) + 1).clamp(max=longest)
    return Written(symbols, log_probabilities, lengths)
