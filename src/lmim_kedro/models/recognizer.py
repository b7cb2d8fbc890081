"""The recognizer: the pre-trained encoder and a head that writes, autoregressive (the paper's) or CTC (light)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmim_kedro.crops.sources.stream import Image
from lmim_kedro.models.decoder import AutoregressiveDecoder
from lmim_kedro.models.decoding import Written, beam_search, greedy
from lmim_kedro.models.encoder import Encoder, initialize
from lmim_kedro.params import ModelParams
from lmim_kedro.text.charset import Charset
from lmim_kedro.text.ctc import prefix_search


class Reading(NamedTuple):
    """What was read in one crop.

    Attributes:
        text: the word.
        confidence: of the whole word, 0 to 1: the product over all symbols, the end symbol included.
        confidences: of each character of `text`, 0 to 1.
        error: why the crop could not be read; None where it could.
        key: the name of the crop: a path, an LMDB key; None where it has none.
    """

    text: str
    confidence: float
    confidences: tuple[float, ...] = ()
    error: str | None = None
    key: str | None = None


def longest_label(model: ModelParams, decoder: str, max_length: int) -> int:
    """Characters that fit: one step is the end symbol's; CTC has at most one character a column."""
    return max_length - 1 if decoder == "autoregressive" else min(max_length, model.columns)


class Recognizer(nn.Module):
    """Encoder and head; it carries the charset it was trained with.

    Args:
        model: sizes.
        charset: what can be written.
        decoder: "autoregressive" or "ctc".
        max_length: decoding steps, end symbol included.

    Attributes:
        labels: what was found in the labels it was trained on (LabelCheck.facts); empty where that is not known.
    """

    def __init__(
        self,
        model: ModelParams,
        charset: Charset,
        decoder: str = "autoregressive",
        max_length: int = 25,
    ) -> None:
        super().__init__()
        self.labels: dict[str, Any] = {}
        self.model, self.charset, self.decoder_name, self.max_length = model, charset, decoder, max_length
        self.encoder = Encoder(model)
        if decoder == "autoregressive":
            size = model.recognizer
            self.linear_norm = nn.Sequential(nn.Linear(model.width, size.width), nn.LayerNorm(size.width))
            self.linear_norm.apply(initialize)
            self.decoder = AutoregressiveDecoder(size, charset.classes, max_length)
        else:
            self.classifier = nn.Linear(model.width, len(charset) + 1)  # the last class is CTC's blank
            self.classifier.apply(initialize)

    @property
    def longest_label(self) -> int:
        """Characters that fit: one step is the end symbol's; CTC has at most one character a column."""
        return longest_label(self.model, self.decoder_name, self.max_length)

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
        targets = targets.to(images.device, non_blocking=True)  # lengths stay: ctc_loss reads them on the host
        if self.decoder_name == "autoregressive":
            logits = self.decoder(self.memory(images), targets).float()
            total = F.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), ignore_index=self.charset.padding, reduction="sum"
            )
            return {"loss": total / len(labels)}
        log_probabilities = self.column_logits(images).float().log_softmax(-1).transpose(0, 1)
        columns = torch.full_like(lengths, log_probabilities.shape[0])
        loss = F.ctc_loss(log_probabilities, targets, columns, lengths, blank=len(self.charset), reduction="none")
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

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device | None = None) -> Recognizer:
        """The recognizer in a folder that this project wrote, ready to read.

        Args:
            path: such as data/06_models/lmim/sample/seed0/recognizer.
            device: to read on; None: the GPU if there is one.

        Errors: InputError if there is no recognizer at the path.
        """
        from lmim_kedro.models.weights import load_recognizer

        return load_recognizer(Path(path)).to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()

    def read(self, images: Image | Iterable[Image], batch_size: int = 256, beam: int = 1) -> list[Reading]:
        """Read images of one word each, in their order.

        Args:
            images: paths, PIL images and arrays (H, W, 3) RGB or (H, W) gray of uint8, mixed; one of these alone; or
                the path of a folder, list or LMDB of crops.
            batch_size: images read at once.
            beam: hypotheses of beam search; 1: greedy.

        Returns:
            a Reading for each image; one that cannot be read has an `error`.
        """
        from lmim_kedro.reading.reader import read_crops

        return list(read_crops(self, images, batch_size, beam))

    @torch.no_grad()
    def read_batch(self, images: Tensor, beam: int = 1, length_power: float = 0.0) -> list[Reading]:
        """Readings of (B, 3, H, W) crops in [-1, 1].

        Args:
            images: on the recognizer's device.
            beam: hypotheses of beam search; 1: greedy.
            length_power: by which beam search normalizes a word's length; 0: not at all. CTC: unused, its texts compete
                over the same columns.
        """
        if self.decoder_name == "autoregressive":
            memory, end = self.memory(images), self.charset.end
            if beam == 1:
                return self._spell(greedy(self.decoder, memory, end))
            return self._spell(beam_search(self.decoder, memory, end, beam, length_power))
        probabilities = self.column_logits(images).float().softmax(-1)
        if beam > 1:
            return [self._search(columns, beam) for columns in probabilities.cpu().double().numpy()]
        best, symbols = probabilities.max(-1)
        return [self._collapse(*row) for row in zip(symbols.tolist(), best.tolist(), strict=True)]

    def _spell(self, written: Written) -> list[Reading]:
        """Padding and unknown symbols count for the word's confidence and write no character."""
        readings = []
        words = zip(written.symbols.tolist(), written.log_probabilities.tolist(), written.lengths.tolist(), strict=True)
        for symbols, logs, length in words:
            text = self.charset.text(symbols[:length])
            characters = [
                math.exp(log) for symbol, log in zip(symbols, logs, strict=True) if symbol < len(self.charset)
            ]
            readings.append(Reading(text, math.exp(sum(logs[:length])), tuple(characters)))
        return readings

    def _search(self, columns: np.ndarray, beam: int) -> Reading:
        symbols, confidence, confidences = prefix_search(columns, len(self.charset), beam)
        return Reading(self.charset.text(symbols), confidence, confidences)

    def _collapse(self, symbols: list[int], probabilities: list[float]) -> Reading:
        """A character is as sure as the surest of the columns that show it."""
        blank, before = len(self.charset), len(self.charset)
        kept: list[int] = []
        confidences: list[float] = []
        for symbol, probability in zip(symbols, probabilities, strict=True):
            if symbol != blank and symbol == before:
                confidences[-1] = max(confidences[-1], probability)
            elif symbol != blank:
                kept.append(symbol)
                confidences.append(probability)
            before = symbol
        return Reading(self.charset.text(kept), math.prod(probabilities), tuple(confidences))
