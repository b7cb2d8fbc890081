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

from lmim_kedro.crops.loader import send
from lmim_kedro.errors import InputError
from lmim_kedro.models.decoder import POSITIONS, AutoregressiveDecoder
from lmim_kedro.models.decoding import Written, beam_search, greedy
from lmim_kedro.models.encoder import Encoder, LayerNorm, initialize
from lmim_kedro.params import ModelParams
from lmim_kedro.text.allowed import Grammar
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
        self.temperature: float | None = None
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
    def spelled(self, labels: Sequence[str]) -> tuple[list[list[int]], int, int]:
        """The symbols of each label, the width that they are padded to, and the symbol that pads them."""

    def targets(self, labels: Sequence[str], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        """Spell B labels for `loss`.

        Returns:
            symbols (B, width) int64 on the device, where `width` is the same for all labels, so that a compiled step
            stays one graph; and on the host their lengths (B,).
        """
        spelled, width, padding = self.spelled(labels)
        symbols = np.full((len(spelled), width), padding, dtype=np.int64)
        for row, indices in zip(symbols, spelled, strict=True):
            row[: len(indices)] = indices
        return send(torch.from_numpy(symbols), device), torch.tensor([len(indices) for indices in spelled])

    @abstractmethod
    def logits(self, features: Tensor, symbols: Tensor) -> Tensor:
        """Logits (B, T, C) float32 of the encoder's features (B, 1 + N, D) and the symbols of the labels."""

    @abstractmethod
    def loss(self, logits: Tensor, symbols: Tensor, lengths: Tensor) -> Tensor:
        """Mean loss of B labels, given their `logits` and `targets`; never compiled."""

    def tempered(self, logits: Tensor) -> Tensor:
        """The logits that probabilities are computed from: divided by the temperature, if one was fitted."""
        return logits if self.temperature is None else logits / self.temperature

    def steps(self, features: Tensor) -> tuple[Tensor, Tensor] | None:
        """Logits (B, T, C) float32 of the steps of a greedy reading, and which of them count for its confidence (B, T).

        They are not tempered. None, as here, if the head has no such steps: then no temperature is fitted.
        """
        return None

    @abstractmethod
    def read(self, features: Tensor, beam: int, length_power: float, grammar: Grammar | None = None) -> list[Reading]:
        """Readings of B crops, given the encoder's features (B, 1 + N, D): texts of the grammar, if there is one."""

    def graphs(self, encoder: Encoder) -> dict[str, Graph]:
        """Graphs of encoder and head by name, for the ONNX export. Errors: InputError if the head has none."""
        raise InputError(f"{type(self).__name__} has no ONNX export: implement its `graphs`, or read it with torch")


class AutoregressiveHead(Head):
    """A transformer decoder that writes one symbol after the other (paper, section 4.2).

    Example:
        >>> head = AutoregressiveHead(ModelParams(), Charset("ab"), max_length=5)
        >>> head.targets(["ab", "b"])[1].tolist()  # lengths with the end symbol
        [3, 2]
    """

    most_steps = POSITIONS

    def __init__(self, model: ModelParams, charset: Charset, max_length: int) -> None:
        super().__init__(model, charset, max_length)
        size = model.recognizer
        self.linear_norm = nn.Sequential(nn.Linear(model.width, size.width), LayerNorm(size.width))
        self.linear_norm.apply(initialize)
        self.decoder = AutoregressiveDecoder(size, charset.classes, max_length)

    @classmethod
    def longest_label(cls, model: ModelParams, max_length: int) -> int:
        """Number of characters of the longest label: one step is the end symbol's."""
        return max_length - 1

    def spelled(self, labels: Sequence[str]) -> tuple[list[list[int]], int, int]:
        """The symbols of each label with the end symbol, padded to the number of steps."""
        spelled = [[*self.charset.indices(label), self.charset.end] for label in labels]
        return spelled, self.max_length, self.charset.padding

    def logits(self, features: Tensor, symbols: Tensor) -> Tensor:
        """Logits (B, max_length, characters + 2) of each symbol, given those before it."""
        return self.decoder(self.linear_norm(features), symbols).float()

    def loss(self, logits: Tensor, symbols: Tensor, lengths: Tensor) -> Tensor:
        """Cross-entropy summed over a word's symbols, divided by the number of words (released code)."""
        given = logits.flatten(0, 1), symbols.flatten()
        return F.cross_entropy(*given, ignore_index=self.charset.padding, reduction="sum") / len(symbols)

    def read(self, features: Tensor, beam: int, length_power: float, grammar: Grammar | None = None) -> list[Reading]:
        """Readings of B crops, given the encoder's features (B, 1 + N, D); [cls] is looked at as well."""
        memory, end = self.linear_norm(features), self.charset.end
        if beam == 1 and grammar is None:
            return self.spell(greedy(self.decoder, memory, end, self.tempered))
        given = self.decoder, memory, end, beam, length_power
        return self.spell(beam_search(*given, grammar=grammar, tempered=self.tempered))

    def steps(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, max_length, C) of what greedy decoding writes, and the steps up to the end symbol."""
        memory = self.linear_norm(features)
        written = greedy(self.decoder, memory, self.charset.end)
        places = torch.arange(self.max_length, device=memory.device)
        counts = places < written.lengths.to(memory.device)[:, None]
        return self.decoder(memory, written.symbols).float(), counts

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
        images = torch.zeros(2, 3, self.model.image_height, self.model.image_width)
        looked_at = nn.Sequential(encoder, self.linear_norm)
        cache = [torch.zeros(2, size.heads, 3, size.width // size.heads) for _ in past]
        inputs = (torch.zeros(2, dtype=torch.int64), torch.tensor(3), looked_at(images), cache)
        names = ["symbol", "position", "memory", *past], ["probabilities", *new]
        shapes: dict[str, Any] = {"symbol": {0: batch}, "position": None, "memory": {0: batch}}
        shapes["past"] = [{0: batch, 2: written}] * len(past)
        return {
            "encoder": Graph(looked_at, (images,), ["images"], ["memory"], {"input": {0: batch}}),
            "step": Graph(_DecodingStep(self.decoder, self), inputs, *names, shapes),
        }


class CTCHead(Head):
    """A linear classifier of columns of patches, trained with CTC: small and fast.

    Its classes are the characters and, last, CTC's blank.

    Example:
        >>> head = CTCHead(ModelParams(width=24), Charset("ab"), max_length=9)
        >>> head.logits(torch.zeros(2, 257, 24)).shape  # a class for each of 32 columns
        torch.Size([2, 32, 3])
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

    def spelled(self, labels: Sequence[str]) -> tuple[list[list[int]], int, int]:
        """The symbols of each label; characters outside the charset are left out."""
        charset = self.charset
        spelled = [[index for index in charset.indices(label) if index != charset.unknown] for label in labels]
        return spelled, self.model.columns, 0  # ctc_loss never looks past a length, but wants valid indices

    def logits(self, features: Tensor, symbols: Tensor | None = None) -> Tensor:
        """Logits (B, columns, characters + 1): the mean over the rows of patches, classified."""
        columns = features[:, 1:].unflatten(1, (self.model.rows, self.model.columns)).mean(1)
        return self.classifier(columns).float()

    def loss(self, logits: Tensor, symbols: Tensor, lengths: Tensor) -> Tensor:
        """CTC loss, mean over the words."""
        log_probabilities = logits.log_softmax(-1).transpose(0, 1)
        columns = torch.full_like(lengths, log_probabilities.shape[0])
        blank = len(self.charset)
        return F.ctc_loss(log_probabilities, symbols, columns, lengths, blank=blank, reduction="none").mean()

    def read(self, features: Tensor, beam: int, length_power: float, grammar: Grammar | None = None) -> list[Reading]:
        """Readings of B crops, given the encoder's features (B, 1 + N, D).

        `length_power` is not used: all texts compete over the same columns.
        """
        probabilities = self.tempered(self.logits(features)).softmax(-1)
        if beam > 1 or grammar is not None:
            return [search(self.charset, columns, beam, grammar) for columns in probabilities.cpu().double().numpy()]
        best, symbols = probabilities.max(-1)
        return [collapse(self.charset, *row) for row in zip(symbols.tolist(), best.tolist(), strict=True)]

    def steps(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, columns, C) of all columns, which all count."""
        logits = self.logits(features)
        return logits, torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)

    def graphs(self, encoder: Encoder) -> dict[str, Graph]:
        """`recognizer`: crops -> probabilities of each column's symbol."""
        images = torch.zeros(2, 3, self.model.image_height, self.model.image_width)
        shapes = {"images": {0: torch.export.Dim("batch")}}
        return {"recognizer": Graph(_ColumnReader(encoder, self), (images,), ["images"], ["probabilities"], shapes)}


class _DecodingStep(nn.Module):
    """One symbol -> the probabilities of the next, and the cache with that symbol in it."""

    def __init__(self, decoder: AutoregressiveDecoder, head: Head) -> None:
        super().__init__()
        self.decoder, self.head = decoder, head

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
        logits = decoder.classifier(decoder.layer_norm(tokens[:, 0]))
        return self.head.tempered(logits).softmax(-1), *new


class _ColumnReader(nn.Module):
    """Crops (B, 3, H, W) in [-1, 1] -> probabilities (B, columns, characters + 1)."""

    def __init__(self, encoder: Encoder, head: CTCHead) -> None:
        super().__init__()
        self.encoder, self.classifier, self.head = encoder, head.classifier, head

    def forward(self, images: Tensor) -> Tensor:
        return self.head.tempered(self.head.logits(self.encoder(images))).softmax(-1)
