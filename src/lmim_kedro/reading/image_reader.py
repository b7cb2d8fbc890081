"""Reading images from wherever the user has them, whatever computes: the base of Reader and OnnxReader."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from lmim_kedro.crops.sources.stream import Image, NamedCrop, crops_of, stream
from lmim_kedro.errors import InputError
from lmim_kedro.params import MAX_PIXELS
from lmim_kedro.reading.looks import read_likeliest, read_surest
from lmim_kedro.text.allowed import LEAST_BEAM, Allowed, Grammar
from lmim_kedro.text.charset import Charset
from lmim_kedro.text.language import LanguageModel
from lmim_kedro.text.spelling import Reading


class ImageReader(ABC):
    """Reads files, folders, LMDBs and images in memory.

    Attributes:
        height, width: size in pixels to which images are resized.
        charset: the characters that can be written.
        decoder: name of the recognizer's decoder.
        looks: looks at each crop, the surest of which counts, unless a call names another number: the recognizer's own.
        language: the language model that helps it to choose, likewise: english, a file, or None.
        keep_ratio, rotate_tall: how the recognizer's crops are prepared, as for pixels.decode_batch.
    """

    height: int
    width: int
    charset: Charset
    decoder: str
    looks: int = 1
    language: str | None = None
    keep_ratio: bool = False
    rotate_tall: float | None = None
    _last: tuple[Allowed, Grammar] | None = None

    @abstractmethod
    def read_batch(self, images: np.ndarray, beam: int = 1, grammar: Grammar | None = None) -> list[Reading]:
        """Read uint8 RGB crops (B, 3, height, width), looking once at each, as texts of the grammar if there is one."""

    @abstractmethod
    def columns(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (B, columns, characters + 1) float64 of the columns of uint8 crops; for CTC only."""

    def read(
        self,
        images: Image | Iterable[Image],
        batch_size: int = 256,
        beam: int = 1,
        looks: int | None = None,
        allowed: Allowed | None = None,
        min_confidence: float = 0.0,
        language: str | None = None,
    ) -> list[Reading]:
        """Read images of one word each, in their order.

        Args:
            images: paths, PIL images and uint8 arrays (H, W, 3) RGB or (H, W) gray, mixed; one of these alone; or the
                path of a folder, list or LMDB of crops.
            batch_size: number of images read at once.
            beam: number of hypotheses of beam search; 1: greedy.
            looks: 1, or 3: each crop is also read with a margin of 6 % added and of 3.5 % cut off on all sides, and
                the surest of the three readings counts; None: as the recognizer was made to be read.
            allowed: the texts that may be read: characters, words, a pattern; None: all. Where no such text was found,
                the text is empty and its confidence 0. At least 8 hypotheses are followed.
            min_confidence: a reading of less confidence is an error, which says what was read.
            language: language model of a CTC recognizer, by which a crop that is not read surely becomes the likeliest
                word among the most probable texts: `english`, or a file; none: no model; None: as the recognizer was
                made to be read. Where texts are restricted by `allowed`, it is not asked.

        Returns:
            a Reading for each image; the `error` of an image that cannot be read says why.

        Errors: InputError if a folder, list or LMDB has no crops, or the recognizer cannot write what is allowed.
        """
        return list(self.read_crops(images, batch_size, beam, looks, allowed, min_confidence, language))

    def read_crops(
        self,
        images: Image | Iterable[Image],
        batch_size: int = 256,
        beam: int = 1,
        looks: int | None = None,
        allowed: Allowed | None = None,
        min_confidence: float = 0.0,
        language: str | None = None,
    ) -> Iterator[Reading]:
        """Read images as a stream, while the next ones are being decoded; arguments and errors as in `read`."""
        how: dict[str, Any] = {"looks": looks, "allowed": allowed, "min_confidence": min_confidence}
        return self.read_named(crops_of(images), batch_size, beam, language=language, **how)

    def read_named(
        self,
        crops: Iterable[NamedCrop],
        batch_size: int = 256,
        beam: int = 1,
        threads: int = 2,
        max_pixels: int = MAX_PIXELS,
        looks: int | None = None,
        allowed: Allowed | None = None,
        min_confidence: float = 0.0,
        language: str | None = None,
    ) -> Iterator[Reading]:
        """Read crops that have names, as a stream in their order.

        Args:
            crops: names and images.
            batch_size, beam, looks, allowed, min_confidence, language: as for `read`.
            threads: number of threads that decode.
            max_pixels: largest image that is decoded; a larger one is an error.
        """
        self.grammar(allowed)  # what cannot be done is told before an image is decoded
        self.model_of(language)
        prepared: dict[str, Any] = {"keep_ratio": self.keep_ratio, "rotate_tall": self.rotate_tall}
        for batch in stream(crops, self.height, self.width, batch_size, threads, max_pixels, **prepared):
            good = iter(self.look(batch.images, beam, looks, allowed, language) if len(batch.images) else [])
            for key, error in zip(batch.keys, batch.errors, strict=True):
                if error:
                    yield Reading("", 0.0, (), error, key)
                    continue
                yield sure_enough(next(good), min_confidence)._replace(key=key)

    def look(
        self,
        images: np.ndarray,
        beam: int = 1,
        looks: int | None = None,
        allowed: Allowed | None = None,
        language: str | None = None,
    ) -> list[Reading]:
        """Read uint8 RGB crops (B, 3, height, width) as `read` does, with the same other arguments."""
        grammar, model = self.grammar(allowed), self.model_of(language)
        looks = self.looks if looks is None else looks
        if grammar is None and model is not None and len(images):
            return read_likeliest(self.columns, images, looks, self.charset, model, max(beam, LEAST_BEAM))
        width = beam if grammar is None else max(beam, LEAST_BEAM)
        return read_surest(lambda some: self.read_batch(some, width, grammar), images, looks)

    def model_of(self, language: str | None) -> LanguageModel | None:
        """The language model that is named, or the recognizer's own; None if there is none.

        Errors: InputError if there is no such model, or the recognizer can be given none.
        """
        name = self.language if language is None else language
        if name is None or name == "none":
            return None
        if self.decoder != "ctc":
            raise InputError(
                f"a language model helps a CTC recognizer to choose, and this one has the decoder {self.decoder}, "
                "which knows what it has written: set language to none"
            )
        return LanguageModel.named(name)

    def grammar(self, allowed: Allowed | None) -> Grammar | None:
        """What is allowed, for this recognizer's charset; None if everything is.

        Errors: InputError if it cannot write that.
        """
        if allowed is None:
            return None
        if self._last is None or self._last[0] != allowed:
            self._last = allowed, Grammar(allowed, self.charset)
        return self._last[1]


def sure_enough(reading: Reading, least: float) -> Reading:
    """The reading, or an error that says what was read, where its confidence is less than the least.

    Example:
        >>> sure_enough(Reading("exit", 0.25), 0.5).error
        "not sure enough: 'exit' with a confidence of 0.2500"
    """
    if reading.confidence >= least:
        return reading
    found = f"not sure enough: {reading.text!r} with a confidence of {reading.confidence:.4f}"
    return Reading("", reading.confidence, (), found, reading.key)
