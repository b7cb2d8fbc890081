"""The recognizer at work: `Reader` reads images, `read_sources` and `read_store` read data sets."""

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lmim_kedro.crops.ahead import ahead
from lmim_kedro.crops.loader import send
from lmim_kedro.crops.pixels import decode_stored, to_input
from lmim_kedro.crops.sources.open import Source
from lmim_kedro.crops.sources.stream import crops_of_source
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.models.folder import READY, model_folder
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.weights import load_recognizer
from lmim_kedro.params import MAX_PIXELS
from lmim_kedro.progress import progress_bar
from lmim_kedro.reading.files import WORD_CONFIDENCES
from lmim_kedro.reading.image_reader import ImageReader
from lmim_kedro.text.allowed import Allowed, Grammar
from lmim_kedro.text.spelling import Reading


class Reader(ImageReader):
    """Reads images with a recognizer in torch, on the device that the recognizer is on.

    Args:
        recognizer: the model; it is put into evaluation mode.
        precision: torch.float32 or torch.bfloat16 (autocast).

    Example:
        >>> from lmim_kedro.params import ModelParams
        >>> from lmim_kedro.text.charset import Charset
        >>> small = ModelParams(width=24, depth=1, heads=3)
        >>> reader = Reader(Recognizer(small, Charset("ab"), "ctc"))
        >>> [reading.error for reading in reader.read([np.zeros((20, 60), np.uint8), "absent.png"])]
        [None, 'missing file']
    """

    def __init__(self, recognizer: Recognizer, precision: torch.dtype = torch.float32) -> None:
        self.recognizer, self.precision = recognizer.eval(), precision
        self.height, self.width = recognizer.model.image_height, recognizer.model.image_width
        self.charset, self.decoder = recognizer.charset, recognizer.decoder_name
        self.looks, self.language = recognizer.looks, recognizer.language
        self.keep_ratio, self.rotate_tall = recognizer.model.keep_ratio, recognizer.rotate_tall

    @classmethod
    def load(cls, path: str | Path | None = None, device: str | torch.device | None = None) -> "Reader":
        """Load the ready reader, or the recognizer in a folder that this project wrote.

        Args:
            path: path such as data/06_models/lmim/sample/seed0/recognizer, or `hf://owner/name[@revision][/folder]` on
                the Hugging Face hub; None: the ready reader, which comes with the package (docs/reader.md).
            device: device to read on; None: the GPU if there is one, where it computes in bfloat16 if it can.

        Errors: InputError if there is no recognizer at the path.

        Example:
            >>> reader = Reader.load(device="cpu")
            >>> len(reader.read(np.zeros((20, 60), np.uint8)))
            1
        """
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        fast = chosen.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        recognizer = load_recognizer(READY / "recognizer" if path is None else model_folder(path))
        return cls(recognizer.to(chosen), torch.bfloat16 if fast else torch.float32)

    def read_batch(self, images: np.ndarray, beam: int = 1, grammar: Grammar | None = None) -> list[Reading]:
        """Read uint8 RGB crops (B, 3, height, width), greedily or with a beam of more hypotheses."""
        with self._autocast():
            return self.recognizer.read_batch(self._pixels(images), beam, grammar=grammar)

    def columns(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (B, columns, characters + 1) float64 of the columns of uint8 crops; for CTC only."""
        with torch.no_grad(), self._autocast():
            logits = self.recognizer(self._pixels(images), torch.empty(0))  # CTC logits depend on no label
        return self.recognizer.head.tempered(logits).softmax(-1).cpu().double().numpy()

    def _pixels(self, images: np.ndarray) -> Tensor:
        return to_input(send(torch.from_numpy(images), self._device))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, self.precision, enabled=self.precision != torch.float32)

    @property
    def _device(self) -> torch.device:
        return next(self.recognizer.parameters()).device


def read_sources(
    recognizer: Recognizer,
    sources: Sequence[Source],
    batch_size: int,
    beam: int = 1,
    threads: int = 2,
    max_pixels: int = MAX_PIXELS,
    looks: int | None = None,
    allowed: Allowed | None = None,
    min_confidence: float = 0.0,
    language: str | None = None,
) -> Iterator[Reading]:
    """Read all crops of some sources; of several sources, a key begins with its source's name."""
    several, reader = len(sources) > 1, Reader(recognizer)
    with progress_bar(sum(map(len, sources)), desc="reading", unit="crop") as bar:
        for source in sources:
            named = crops_of_source(source)
            how = batch_size, beam, threads, max_pixels, looks, allowed, min_confidence, language
            for reading in reader.read_named(named, *how):
                bar.update()
                yield reading._replace(key=f"{source.name}/{reading.key}") if several else reading


def read_store(
    recognizer: Recognizer,
    crops: PackedStore,
    batch_size: int,
    device: torch.device,
    looks: int | None = 1,
    language: str | None = "none",
    places: np.ndarray | None = None,
) -> pd.DataFrame:
    """Read crops of a store, in order.

    Args:
        recognizer: what reads.
        crops: the store.
        batch_size: number of crops read at once.
        device: device to read on.
        looks: looks at each crop, the surest of which counts; None: as the recognizer was made to be read.
        language: the language model that helps it to choose, or none; None: as the recognizer was made to be read.
        places: places in the store to read, sorted; None: all.

    Returns:
        a row per crop: benchmark (the source's name), index (in the store), label (of a labeled store), prediction,
        confidence, confidence_mean, confidence_min (0 to 1), confidences (of each character), aspect (width / height).
    """
    reader = Reader(recognizer.to(device))
    places = np.arange(len(crops)) if places is None else places
    tables = []

    def decoded() -> Generator[tuple[str, np.ndarray, np.ndarray, np.ndarray], None, None]:
        for source in crops.sources:
            its = places[(places >= source.start) & (places < source.stop)]
            for start in range(0, len(its), batch_size):
                index = its[start : start + batch_size]
                prepared = None, reader.keep_ratio, reader.rotate_tall
                yield source.name, index, *decode_stored(crops, index, reader.height, reader.width, *prepared)

    with progress_bar(len(places), desc="reading", unit="crop") as bar:
        for name, index, images, aspect in ahead(decoded(), 2):
            readings = reader.look(images, looks=looks, language=language)
            columns = {
                "benchmark": name,
                "index": index,
                **({"label": crops.labels(index)} if crops.labeled else {}),
                "prediction": [reading.text for reading in readings],
                **{name: [getattr(reading, name) for reading in readings] for name in WORD_CONFIDENCES},
                "confidences": [reading.confidences for reading in readings],
                "aspect": aspect,
            }
            tables.append(pd.DataFrame(columns))
            bar.update(len(index))
    return pd.concat(tables, ignore_index=True)
