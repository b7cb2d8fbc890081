"""The autoregressive decoder: it writes one symbol after the other (released code; paper, section 4.2)."""

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmim_kedro.models.encoder import NORM_EPS, initialize
from lmim_kedro.params import RecognizerParams

POSITIONS = 200
"""Rows of the position table (released weights)."""


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
        """Attend from queries (B, Q, W) to keys and values (B, heads, T, W / heads) -> (B, Q, W).

        `mask` (Q, T) is True where a query may look.
        """
        dropout = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(
            self._split(self.linear_q(queries)), keys, values, attn_mask=mask, dropout_p=dropout
        )
        return F.dropout(self.fc(seen.transpose(1, 2).flatten(2)), self.dropout, self.training)

    def look(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Compute forward(queries, *keys_values(tokens)) for few queries (B, Q, W) and many tokens (B, T, W).

        The projections of keys and values are moved to the side of the queries: q . (K t) = (K^T q) . t, and
        sum a (V t) = V (sum a t). One symbol a step asks 257 tokens some ten times, so this is a fraction of the work,
        and all layers read the same tokens, which stay in the processor's cache.
        """
        batch, count, width = queries.shape
        heads, each = self.heads, width // self.heads
        projected = self.linear_q(queries).view(batch * count, heads, each).transpose(0, 1)
        # One product per head, (heads, B * Q, W / heads) x (heads, W / heads, W): queries in the space of the tokens.
        asked = torch.bmm(projected, self.linear_k.weight.view(heads, each, width))
        asked = asked.view(heads, batch, count, width).transpose(0, 1).reshape(batch, heads * count, width)
        # All heads of a crop ask its tokens at once, as if they were queries of one head.
        weights = torch.bmm(asked * each**-0.5, tokens.mT).softmax(-1)
        seen = torch.bmm(weights, tokens)
        seen = seen.view(batch, heads, count, width).transpose(0, 1).reshape(heads, batch * count, width)
        seen = torch.bmm(seen, self.linear_v.weight.view(heads, each, width).mT)
        return self.fc(seen.transpose(0, 1).reshape(batch, count, width))

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

    def forward(self, tokens: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Tokens (B, T, W), features of the crops (B, S, W), mask (T, T), True where a token may look -> (B, T, W)."""
        normed = self.norm1(tokens)
        tokens = tokens + self.self_attn(normed, *self.self_attn.keys_values(normed), mask)
        tokens = tokens + self.enc_attn(self.norm2(tokens), *self.enc_attn.keys_values(memory))
        return tokens + self.mlp(self.norm3(tokens))

    def write(self, token: Tensor, past: Tensor, place: int, memory: Tensor) -> Tensor:
        """Compute what `forward` does for the tokens at one place, for K hypotheses about each of B crops.

        Args:
            token: (B * K, 1, W).
            past: keys and values of earlier places, (2, B * K, heads, L, W / heads); those of this place are added.
            place: index of the place.
            memory: features of the crops, (B, S, W).

        Returns: (B * K, 1, W).
        """
        normed = self.norm1(token)
        past[0, :, :, place : place + 1], past[1, :, :, place : place + 1] = self.self_attn.keys_values(normed)
        token = token + self.self_attn(normed, *past[:, :, :, : place + 1])
        queries = self.norm2(token).view(len(memory), -1, memory.shape[2])
        token = token + self.enc_attn.look(queries, memory).view_as(token)
        return token + self.mlp(self.norm3(token))


class AutoregressiveDecoder(nn.Module):
    """Writes one symbol after the other (released code; paper, section 4.2).

    Symbols are those of the charset; the embedding has one row more, for the start symbol.

    Args:
        size: width, depth, heads and so on.
        classes: number of symbols.
        max_length: steps of decoding, end symbol included.

    Example:
        >>> decoder = AutoregressiveDecoder(RecognizerParams(width=8, depth=1, heads=2, ffn=8), 6, max_length=4)
        >>> decoder(torch.zeros(2, 5, 8), torch.zeros(2, 4, dtype=torch.int64)).shape
        torch.Size([2, 4, 6])
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
        self.apply(initialize)

    def forward(self, memory: Tensor, targets: Tensor) -> Tensor:
        """Teacher forcing: memory (B, S, W), targets (B, L) -> logits (B, L, C) for each place of targets."""
        previous = F.pad(targets[:, :-1], (1, 0), value=self.start)
        length = previous.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=memory.device).tril()
        tokens = self.embed(previous, 0)
        for layer in self.layers:
            tokens = layer(tokens, memory, mask)
        return self.classifier(self.layer_norm(tokens))

    @property
    def layers(self) -> list[DecoderLayer]:
        """The blocks, lowest first."""
        return cast(list[DecoderLayer], list(self.layer_stack))

    def embed(self, symbols: Tensor, first: int) -> Tensor:
        """Symbols (B, T) at the places from `first` on -> (B, T, W)."""
        position = self.position_table[:, first : first + symbols.shape[1]]
        return self.dropout(self.trg_word_emb(symbols) + position)


def _sinusoids(positions: int, width: int) -> Tensor:
    """(1, positions, width): sine on even, cosine on odd features."""
    feature = np.arange(width)
    angle = np.arange(positions)[:, None] / 10000 ** (2 * (feature // 2) / width)
    table = np.where(feature % 2 == 0, np.sin(angle), np.cos(angle))
    return torch.from_numpy(table).float()[None]
