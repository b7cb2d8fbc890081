"""The heads of a recognizer: what turns the encoder's features into words.

A head is a plain object. Its attributes that are modules become parts of the recognizer under the same names, in the
order in which they are set, so saved weights are called `decoder.*` and not `head.decoder.*`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmim_kedro.errors import InputError
from lmim_kedro.models.decoder import POSITIONS, AutoregressiveDecoder
from lmim_kedro.models.decoding import Written, beam_search, greedy
from lmim_kedro.models.encoder import Encoder, initialize
from lmim_kedro.params import ModelParams
from lmim_kedro.text.charset import Charset
from lmim_kedro.text.spelling import Reading, collapse, search, spell


class Graph(NamedTuple):
    """One ONNX graph of an exported recognizer.

    Attributes:
        module: the module that is exported.
        inputs: example arguments of its `forward`.
        input_names, output_names: names in the graph.
        dynamic_shapes: which sizes of the arguments are free, as `torch.onnx.export` takes them.
    """

    module: nn.Module
    inputs: tuple[Any, ...]
    input_names: list[str]
    output_names: list[str]
    dynamic_shapes: dict[str, Any]


class Head(ABC):
    """Base of all heads; `lmim_kedro.registries.DECODERS` names them.

    Args:
        model: sizes.
        charset: characters that can be written.
        max_length: decoding steps, end symbol included.
    """

    columns: int | None = None
    """Columns that a label must fit into, for `check_labels`; None: a label needs no columns."""
    most_steps: int | None = None
    """Largest `max_length`; None: there is no limit."""

    def __init__(self, model: ModelParams, charset: Charset, max_length: int) -> None:
        self.require_steps(max_length)
        self.model, self.charset, self.max_length = model, charset, max_length

    @classmethod
    def require_steps(cls, max_length: int) -> None:
        """Check the number of decoding steps. Errors: InputError for more than `most_steps`."""
        if cls.most_steps is not None and max_length > cls.most_steps:
            raise InputError(
                f"max_length is {max_length}, but the decoder ({cls.__name__}) has only {cls.most_steps} places: set "
                f"finetuning.max_length to {cls.most_steps} at most, or finetuning.decoder to another one, such as ctc"
            )

    @classmethod
    @abstractmethod
    def longest_label(cls, model: ModelParams, max_length: int) -> int:
        """Number of characters of the longest label that can be learned."""

    @abstractmethod
    def loss(self, features: Tensor, labels: Sequence[str]) -> Tensor:
        """Mean loss of B labels, given the encoder's features (B, 1 + N, D)."""

    @abstractmethod
    def read(self, features: Tensor, beam: int, length_power: float) -> list[Reading]:
        """Readings of B crops, given the encoder's features (B, 1 + N, D)."""

    def graphs(self, encoder: Encoder) -> dict[str, Graph]:
        """Graphs of encoder and head by name, for the ONNX export. Errors: InputError if the head has none."""
        raise InputError(f"{type(self).__name__} has no ONNX export: implement its `graphs`, or read it with torch")


class AutoregressiveHead(Head):
    """A transformer decoder that writes one symbol after the other (paper, section 4.2)."""

    most_steps = POSITIONS

    def __init__(self, model: ModelParams, charset: Charset, max_length: int) -> None:
        super().__init__(model, charset, max_length)
        size = model.recognizer
        self.linear_norm = nn.Sequential(nn.Linear(model.width, size.width), nn.LayerNorm(size.width))
        self.linear_norm.apply(initialize)
        self.decoder = AutoregressiveDecoder(size, charset.classes, max_length)

    @classmethod
    def longest_label(cls, model: ModelParams, max_length: int) -> int:
        """Number of characters of the longest label: one step is the end symbol's."""
        return max_length - 1

    def targets(self, labels: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Symbols (B, max_length) int64, padded after the end symbol, and lengths (B,) with the end symbol."""
        spelled = [[*self.charset.indices(label), self.charset.end] for label in labels]
        return _padded(spelled, self.max_length, self.charset.padding)

    def loss(self, features: Tensor, labels: Sequence[str]) -> Tensor:
        """Cross-entropy summed over a word's symbols, divided by the number of words (released code)."""
        targets = self.targets(labels)[0].to(features.device, non_blocking=True)
        logits = self.decoder(self.linear_norm(features), targets).float()
        padding = self.charset.padding
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=padding, reduction="sum") / len(
            labels
        )

    def read(self, features: Tensor, beam: int, length_power: float) -> list[Reading]:
        """Readings of B crops, given the encoder's features (B, 1 + N, D); [cls] is looked at as well."""
        memory, end = self.linear_norm(features), self.charset.end
        if beam == 1:
            return self.spell(greedy(self.decoder, memory, end))
        return self.spell(beam_search(self.decoder, memory, end, beam, length_power))

    def spell(self, written: Written) -> list[Reading]:
        """Readings of what was written about B crops."""
        rows = zip(written.symbols.tolist(), written.log_probabilities.tolist(), written.lengths.tolist(), strict=True)
        return [
            # exp of a sum, as a product of probabilities would round differently
            spell(self.charset, symbols, [math.exp(log) for log in logs], math.exp(sum(logs[:length])))
            for symbols, logs, length in rows
        ]

    def graphs(self, encoder: Encoder) -> dict[str, Graph]:
        """`encoder`, up to the features that the decoder looks at, and `step`, one decoding step with a cache."""
        batch, written = torch.export.Dim("batch"), torch.export.Dim("written")
        size = self.model.recognizer
        past, new = (
            [f"{kind}_{part}_{n}" for n in range(size.depth) for part in ("keys", "values")] for kind in ("past", "new")
        )
        images, looked_at = _blank(self.model), nn.Sequential(encoder, self.linear_norm)
        cache = [torch.zeros(2, size.heads, 3, size.width // size.heads) for _ in past]
        inputs = (torch.zeros(2, dtype=torch.int64), torch.tensor(3), looked_at(images), cache)
        shapes = {"symbol": {0: batch}, "position": None, "memory": {0: batch}}
        return {
            "encoder": Graph(looked_at, (images,), ["images"], ["memory"], {"input": {0: batch}}),
            "step": Graph(
                _DecodingStep(self.decoder),
                inputs,
                ["symbol", "position", "memory", *past],
                ["probabilities", *new],
                shapes | {"past": [{0: batch, 2: written}] * len(past)},
            ),
        }


class CTCHead(Head):
    """A linear classifier of columns of patches, trained with CTC: small and fast.

    Its classes are the characters and, last, CTC's blank.
    """

    def __init__(self, model: ModelParams, charset: Charset, max_length: int) -> None:
        super().__init__(model, charset, max_length)
        self.columns = model.columns
        self.classifier = nn.Linear(model.width, len(charset) + 1)
        self.classifier.apply(initialize)

    @classmethod
    def longest_label(cls, model: ModelParams, max_length: int) -> int:
        """Number of characters of the longest label: at most one a column."""
        return min(max_length, model.columns)

    def targets(self, labels: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Symbols (B, longest label) int64 and lengths (B,); characters outside the charset are left out."""
        charset = self.charset
        spelled = [[index for index in charset.indices(label) if index != charset.unknown] for label in labels]
        # Padded with 0: ctc_loss never looks past a length, but wants valid indices.
        return _padded(spelled, max(map(len, spelled)), 0)

    def logits(self, features: Tensor) -> Tensor:
        """(B, 1 + N, D) -> (B, columns, characters + 1): the mean over the rows of patches, classified."""
        return self.classifier(features[:, 1:].unflatten(1, (self.model.rows, self.model.columns)).mean(1))

    def loss(self, features: Tensor, labels: Sequence[str]) -> Tensor:
        """CTC loss, mean over the words."""
        targets, lengths = self.targets(labels)
        targets = targets.to(features.device, non_blocking=True)  # lengths stay: ctc_loss reads them on the host
        log_probabilities = self.logits(features).float().log_softmax(-1).transpose(0, 1)
        columns = torch.full_like(lengths, log_probabilities.shape[0])
        blank = len(self.charset)
        return F.ctc_loss(log_probabilities, targets, columns, lengths, blank=blank, reduction="none").mean()

    def read(self, features: Tensor, beam: int, length_power: float) -> list[Reading]:
        """Readings of B crops, given the encoder's features (B, 1 + N, D).

        `length_power` is not used: all texts compete over the same columns.
        """
        probabilities = self.logits(features).float().softmax(-1)
        if beam > 1:
            return [search(self.charset, columns, beam) for columns in probabilities.cpu().double().numpy()]
        best, symbols = probabilities.max(-1)
        return [collapse(self.charset, *row) for row in zip(symbols.tolist(), best.tolist(), strict=True)]

    def graphs(self, encoder: Encoder) -> dict[str, Graph]:
        """`recognizer`: crops -> probabilities of each column's symbol."""
        shapes = {"images": {0: torch.export.Dim("batch")}}
        graph = Graph(_ColumnReader(encoder, self), (_blank(self.model),), ["images"], ["probabilities"], shapes)
        return {"recognizer": graph}


class _DecodingStep(nn.Module):
    """One symbol -> the probabilities of the next, and the cache with that symbol in it."""

    def __init__(self, decoder: AutoregressiveDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, symbol: Tensor, position: Tensor, memory: Tensor, past: list[Tensor]) -> tuple[Tensor, ...]:
        """Symbols (B,), their place (), features of the crops (B, S, W) and the cache.

        The cache is keys, values, keys, ... of the layers, each (B, heads, T, W / heads) for T earlier places.
        Returns: probabilities (B, C) and the cache with T + 1 places.
        """
        decoder, new = self.decoder, []
        tokens = decoder.trg_word_emb(symbol).unsqueeze(1) + decoder.position_table[0][position]
        for layer, keys, values in zip(decoder.layers, past[::2], past[1::2], strict=True):
            normed = layer.norm1(tokens)
            own_keys, own_values = layer.self_attn.keys_values(normed)
            cache = [torch.cat([keys, own_keys], 2), torch.cat([values, own_values], 2)]
            tokens = tokens + layer.self_attn(normed, *cache)
            tokens = tokens + layer.enc_attn.look(layer.norm2(tokens), memory)
            tokens = tokens + layer.mlp(layer.norm3(tokens))
            new += cache
        return decoder.classifier(decoder.layer_norm(tokens[:, 0])).softmax(-1), *new


class _ColumnReader(nn.Module):
    """Crops (B, 3, H, W) in [-1, 1] -> probabilities (B, columns, characters + 1)."""

    def __init__(self, encoder: Encoder, head: CTCHead) -> None:
        super().__init__()
        self.encoder, self.classifier, self.head = encoder, head.classifier, head

    def forward(self, images: Tensor) -> Tensor:
        return self.head.logits(self.encoder(images)).softmax(-1)


def _blank(model: ModelParams) -> Tensor:
    return torch.zeros(2, 3, model.image_height, model.image_width)


def _padded(spelled: Sequence[Sequence[int]], width: int, padding: int) -> tuple[Tensor, Tensor]:
    """Symbols (B, width) int64 and lengths (B,)."""
    padded = np.full((len(spelled), width), padding, dtype=np.int64)
    for row, indices in zip(padded, spelled, strict=True):
        row[: len(indices)] = indices
    return torch.from_numpy(padded), torch.tensor([len(indices) for indices in spelled])
