"""The recognizer: the pre-trained encoder and a head that writes, autoregressive (the paper's) or CTC (light)."""

from typing import Any

import torch
from torch import Tensor, nn

from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.heads import Head
from lmim_kedro.params import ModelParams
from lmim_kedro.registries import DECODERS
from lmim_kedro.text.allowed import Grammar
from lmim_kedro.text.charset import Charset
from lmim_kedro.text.spelling import Reading


def longest_label(model: ModelParams, decoder: str, max_length: int) -> int:
    """Number of characters of the longest label that a decoder can learn.

    Example:
        >>> longest_label(ModelParams(), "autoregressive", max_length=25)  # one step is the end symbol's
        24
    """
    return DECODERS[decoder].longest_label(model, max_length)


class Recognizer(nn.Module):
    """Encoder and head; it carries the charset it was trained with. `lmim_kedro.Reader` reads images with it.

    Args:
        model: sizes.
        charset: characters that can be written.
        decoder: name in `registries.DECODERS`, such as "autoregressive" or "ctc".
        max_length: decoding steps, end symbol included.

    Attributes:
        head: the head, whose modules are parts of the recognizer.
        looks: looks at each crop that a reader takes unless it is told otherwise (reading.looks).
        language: the language model that it asks, likewise: english or None.
        rotate_tall: height / width above which a reader turns a crop, as ingest has turned those it was trained on;
            None: none is turned.
        temperature: what logits are divided by before they are probabilities, so that confidences fit the shares of
            right words (training.temperature); None: not fitted.
        labels: what was found in the labels it was trained on (LabelCheck.facts); empty if that is not known.

    Example:
        >>> recognizer = Recognizer(ModelParams(width=24, depth=1, heads=3), Charset("ab"), "ctc")
        >>> symbols, lengths = recognizer.head.targets(["ab", "b"])
        >>> recognizer.head.loss(recognizer(torch.zeros(2, 3, 32, 128), symbols), symbols, lengths).shape
        torch.Size([])
        >>> len(recognizer.read_batch(torch.zeros(2, 3, 32, 128)))
        2
    """

    def __init__(
        self, model: ModelParams, charset: Charset, decoder: str = "autoregressive", max_length: int = 25
    ) -> None:
        super().__init__()
        self.labels: dict[str, Any] = {}
        self.looks = 1
        self.language: str | None = None
        self.rotate_tall: float | None = None
        self.model, self.charset, self.decoder_name, self.max_length = model, charset, decoder, max_length
        self.encoder = Encoder(model)
        self.head: Head = DECODERS[decoder](model, charset, max_length)
        for name, part in vars(self.head).items():
            if isinstance(part, nn.Module):
                self.add_module(name, part)

    @property
    def temperature(self) -> float | None:
        """The temperature of the head."""
        return self.head.temperature

    @temperature.setter
    def temperature(self, value: float | None) -> None:
        self.head.temperature = value

    @property
    def longest_label(self) -> int:
        """Number of characters of the longest label that can be learned."""
        return self.head.longest_label(self.model, self.max_length)

    def forward(self, images: Tensor, symbols: Tensor) -> Tensor:
        """Logits (B, T, C), for `head.loss`.

        Args:
            images: (B, 3, H, W) RGB in [-1, 1].
            symbols: (B, S) of `head.targets`, for B labels that check_labels found usable.
        """
        return self.head.logits(self.encoder(images), symbols)

    @torch.no_grad()
    def read_batch(
        self, images: Tensor, beam: int = 1, length_power: float = 0.0, grammar: Grammar | None = None
    ) -> list[Reading]:
        """Readings of (B, 3, H, W) crops in [-1, 1].

        Args:
            images: crops on the recognizer's device.
            beam: number of hypotheses of beam search; 1: greedy.
            length_power: power by which beam search normalizes a word's length; 0: not at all. CTC does not use it.
            grammar: the texts that are allowed, for this charset; None: all.
        """
        features = self.encoder(images)
        if grammar is None:
            return self.head.read(features, beam, length_power)
        return self.head.read(features, beam, length_power, grammar)
