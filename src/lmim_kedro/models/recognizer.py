"""The recogniser: the pre-trained encoder and a head that writes, autoregressive (the paper's) or CTC (light)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmim_kedro.models.charset import Charset
from lmim_kedro.models.encoder import NORM_EPS, Encoder, initialise
from lmim_kedro.params import ModelParams, RecognizerParams

POSITIONS = 200  # rows of the released code's position table


class Reading(NamedTuple):
    """What was read in one crop; confidence is the product over symbols, 0 to 1."""

    text: str
    confidence: float


class Attention(nn.Module):
    """Multi-head attention without biases, under the released names."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.linear_q = nn.Linear(width, width, bias=False)
        self.linear_k = nn.Linear(width, width, bias=False)
        self.linear_v = nn.Linear(width, width, bias=False)
        self.fc = nn.Linear(width, width, bias=False)

    def keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, W) -> keys and values (B, heads, T, W / heads)."""
        return self._split(self.linear_k(tokens)), self._split(self.linear_v(tokens))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, Q, W) with keys and values as keys_values gives them; mask is True where a query may look."""
        dropout = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(
            self._split(self.linear_q(queries)), keys, values, attn_mask=mask, dropout_p=dropout
        )
        return F.dropout(self.fc(seen.transpose(1, 2).flatten(2)), self.dropout, self.training)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Linear, GELU, dropout, linear, dropout, under the released names."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.w_1, self.w_2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, W) -> (B, T, W)."""
        return self.dropout(self.w_2(self.dropout(F.gelu(self.w_1(tokens)))))


class DecoderLayer(nn.Module):
    """Pre-norm: causal self-attention, attention to the crop's features, feed-forward."""

    def __init__(self, size: RecognizerParams) -> None:
        super().__init__()
        self.self_attn = Attention(size.width, size.heads, size.dropout)
        self.enc_attn = Attention(size.width, size.heads, size.dropout)
        self.mlp = FeedForward(size.width, size.ffn, size.dropout)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(size.width) for _ in range(3))

    def forward(
        self, tokens: Tensor, past: tuple[Tensor, Tensor] | None, memory: tuple[Tensor, Tensor], mask: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """New tokens (B, T, W) after `past` keys and values; returns them and the past with them added."""
        normed = self.norm1(tokens)
        keys, values = self.self_attn.keys_values(normed)
        if past is not None:
            keys, values = torch.cat([past[0], keys], 2), torch.cat([past[1], values], 2)
        tokens = tokens + self.self_attn(normed, keys, values, mask)
        tokens = tokens + self.enc_attn(self.norm2(tokens), *memory)
        return tokens + self.mlp(self.norm3(tokens)), (keys, values)


class AutoregressiveDecoder(nn.Module):
    """Writes one symbol after the other (released code; paper, section 4.2).

    Symbols are those of the charset; the embedding has one row more, for the start symbol.
    """

    position_table: Tensor

    def __init__(self, size: RecognizerParams, classes: int, max_length: int) -> None:
        super().__init__()
        self.start, self.max_length = classes, max_length
        self.trg_word_emb = nn.Embedding(classes + 1, size.width)
        self.register_buffer("position_table", _sinusoids(POSITIONS, size.width), persistent=False)
        self.dropout = nn.Dropout(size.dropout)
        self.layer_stack = nn.ModuleList(DecoderLayer(size) for _ in range(size.depth))
        self.layer_norm = nn.LayerNorm(size.width, eps=NORM_EPS)
        self.classifier = nn.Linear(size.width, classes)
        self.apply(initialise)

    def forward(self, memory: Tensor, targets: Tensor) -> Tensor:
        """Teacher forcing: memory (B, S, W), targets (B, L) -> logits (B, L, C) for each place of targets."""
        previous = F.pad(targets[:, :-1], (1, 0), value=self.start)
        length = previous.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=memory.device).tril()
        tokens = self._embed(previous, 0)
        for layer in self.layers:
            tokens, _ = layer(tokens, None, layer.enc_attn.keys_values(memory), mask)
        return self.classifier(self.layer_norm(tokens))

    @torch.no_grad()
    def greedy(self, memory: Tensor, end: int | None) -> Tensor:
        """Probabilities (B, L, C) of the most probable symbol at each step, with keys and values kept between steps.

        Stops when every crop has written `end`; with `end = None` after max_length steps.
        """
        batch = memory.shape[0]
        features = [layer.enc_attn.keys_values(memory) for layer in self.layers]
        past: list[tuple[Tensor, Tensor] | None] = [None] * len(self.layer_stack)
        symbol = torch.full((batch, 1), self.start, device=memory.device)
        ended = torch.zeros(batch, dtype=torch.bool, device=memory.device)
        steps = []
        for step in range(self.max_length):
            tokens = self._embed(symbol, step)
            for number, layer in enumerate(self.layers):
                tokens, past[number] = layer(tokens, past[number], features[number], None)
            steps.append(self.classifier(self.layer_norm(tokens[:, -1])).float().softmax(-1))
            symbol = steps[-1].argmax(-1, keepdim=True)
            ended |= symbol[:, 0] == end
            if end is not None and bool(ended.all()):
                break
        return torch.stack(steps, dim=1)

    @property
    def layers(self) -> list[DecoderLayer]:
        """The blocks, lowest first."""
        return cast(list[DecoderLayer], list(self.layer_stack))

    def _embed(self, symbols: Tensor, first: int) -> Tensor:
        position = self.position_table[:, first : first + symbols.shape[1]]
        return self.dropout(self.trg_word_emb(symbols) + position)


class Recognizer(nn.Module):
    """Encoder and head; it carries the charset it was trained with.

    Args:
        model: sizes.
        charset: what can be written.
        decoder: "autoregressive" or "ctc".
        max_length: decoding steps, end symbol included.
    """

    def __init__(
        self,
        model: ModelParams,
        charset: Charset,
        decoder: Literal["autoregressive", "ctc"] = "autoregressive",
        max_length: int = 25,
    ) -> None:
        super().__init__()
        self.model, self.charset, self.decoder_name, self.max_length = model, charset, decoder, max_length
        self.encoder = Encoder(model)
        if decoder == "autoregressive":
            size = model.recognizer
            self.linear_norm = nn.Sequential(nn.Linear(model.width, size.width), nn.LayerNorm(size.width))
            self.linear_norm.apply(initialise)
            self.decoder = AutoregressiveDecoder(size, charset.classes, max_length)
        else:
            self.classifier = nn.Linear(model.width, len(charset) + 1)  # the last class is CTC's blank
            self.classifier.apply(initialise)

    @property
    def longest_label(self) -> int:
        """Characters that fit: one step is the end symbol's; CTC has at most one character a column."""
        return (
            self.max_length - 1 if self.decoder_name == "autoregressive" else min(self.max_length, self.model.columns)
        )

    def memory(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, 1 + N, W'): what the autoregressive decoder looks at, [cls] included."""
        return self.linear_norm(self.encoder(images))

    def column_logits(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, columns, characters + 1), the mean over the rows of patches classified."""
        features = self.encoder(images)[:, 1:]
        return self.classifier(features.unflatten(1, (self.model.rows, self.model.columns)).mean(1))

    def forward(self, images: Tensor, labels: Sequence[str]) -> dict[str, Tensor]:
        """The loss on a batch: its sum over a word's symbols, divided by the number of words (released code).

        Args:
            images: (B, 3, H, W) RGB in [-1, 1].
            labels: B labels that check_labels found usable.
        """
        targets, lengths = self.targets(labels)
        targets, lengths = targets.to(images.device, non_blocking=True), lengths.to(images.device, non_blocking=True)
        if self.decoder_name == "autoregressive":
            logits = self.decoder(self.memory(images), targets).float()
            total = F.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), ignore_index=self.charset.padding, reduction="sum"
            )
            return {"loss": total / len(labels)}
        log_probabilities = self.column_logits(images).float().log_softmax(-1).transpose(0, 1)
        columns = torch.full_like(lengths, log_probabilities.shape[0])
        loss = F.ctc_loss(
            log_probabilities, targets, columns, lengths, blank=len(self.charset), reduction="none", zero_infinity=True
        )
        return {"loss": loss.mean()}

    def targets(self, labels: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Symbol indices (B, L) int64 and lengths (B,). Autoregressive: L = max_length, end symbol included, padded.

        CTC: L is the longest label's length; characters outside the charset are left out.
        """
        charset = self.charset
        spelled = [charset.indices(label) for label in labels]
        if self.decoder_name == "autoregressive":
            spelled = [[*indices, charset.end] for indices in spelled]
            width = self.max_length
        else:
            spelled = [[index for index in indices if index != charset.unknown] for indices in spelled]
            width = max(map(len, spelled))
        padded = np.full((len(spelled), width), charset.padding, dtype=np.int64)
        for row, indices in zip(padded, spelled, strict=True):
            row[: len(indices)] = indices
        if self.decoder_name == "ctc":
            padded[padded == charset.padding] = 0  # ctc_loss never looks past a length, but wants valid indices
        return torch.from_numpy(padded), torch.tensor([len(indices) for indices in spelled])

    @torch.no_grad()
    def read(self, images: Tensor) -> list[Reading]:
        """Greedy readings of (B, 3, H, W) crops in [-1, 1]."""
        if self.decoder_name == "autoregressive":
            best, symbols = self.decoder.greedy(self.memory(images), self.charset.end).max(-1)
            return [self._until_end(*row) for row in zip(symbols.tolist(), best.tolist(), strict=True)]
        best, symbols = self.column_logits(images).float().softmax(-1).max(-1)
        return [self._collapse(*row) for row in zip(symbols.tolist(), best.tolist(), strict=True)]

    def _until_end(self, symbols: list[int], probabilities: list[float]) -> Reading:
        steps = symbols.index(self.charset.end) + 1 if self.charset.end in symbols else len(symbols)
        return Reading(self.charset.text(symbols[:steps]), float(np.prod(probabilities[:steps])))

    def _collapse(self, symbols: list[int], probabilities: list[float]) -> Reading:
        blank = len(self.charset)
        kept = [s for i, s in enumerate(symbols) if s != blank and (i == 0 or symbols[i - 1] != s)]
        return Reading(self.charset.text(kept), float(np.prod(probabilities)))


def _sinusoids(positions: int, width: int) -> Tensor:
    """(1, positions, width): sine on even, cosine on odd features."""
    feature = np.arange(width)
    angle = np.arange(positions)[:, None] / 10000 ** (2 * (feature // 2) / width)
    table = np.where(feature % 2 == 0, np.sin(angle), np.cos(angle))
    return torch.from_numpy(table).float()[None]
