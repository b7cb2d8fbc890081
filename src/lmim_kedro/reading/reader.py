"""The recognizer at work: `Reader` reads images, `read_sources` and `read_store` read data sets."""

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lmim_kedro.crops.ahead import ahead
from lmim_kedro.crops.loader import send
from lmim_kedro.crops.pixels import decode_batch, to_input
from lmim_kedro.crops.sources.open import Source
from lmim_kedro.crops.sources.stream import crops_of_source
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.models.folder import READY, model_folder
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.weights import load_recognizer
from lmim_kedro.params import MAX_PIXELS
from lmim_kedro.progress import progress_bar
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
        self.charset, self.looks = recognizer.charset, recognizer.looks

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
        device = next(self.recognizer.parameters()).device
        pixels = send(torch.from_numpy(images), device)
        with torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32):
            return self.recognizer.read_batch(to_input(pixels), beam, grammar=grammar)


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
) -> Iterator[Reading]:
    """Read all crops of some sources; of several sources, a key begins with its source's name."""
    several, reader = len(sources) > 1, Reader(recognizer)
    with progress_bar(sum(map(len, sources)), desc="reading", unit="crop") as bar:
        for source in sources:
            named = crops_of_source(source)
            how = batch_size, beam, threads, max_pixels, looks, allowed, min_confidence
            for reading in reader.read_named(named, *how):
                bar.update()
                yield reading._replace(key=f"{source.name}/{reading.key}") if several else reading


def read_store(
    recognizer: Recognizer, crops: PackedStore, batch_size: int, device: torch.device, looks: int = 1
) -> pd.DataFrame:
    """Read every crop of a labeled store, in order, looking `looks` times at each.

    Returns:
        a row per crop: benchmark (the source's name), index (in the store), label, prediction, confidence (0 to 1),
        confidences (of each character), aspect (width / height).
    """
    reader = Reader(recognizer.to(device))
    tables = []

    def decoded() -> Generator[tuple[str, range, np.ndarray, np.ndarray], None, None]:
        for source in crops.sources:
            for start in range(source.start, source.stop, batch_size):
                index = range(start, min(start + batch_size, source.stop))
                yield source.name, index, *decode_batch(crops.fetch(index), reader.height, reader.width)

    with progress_bar(len(crops), desc="reading", unit="crop") as bar:
        for name, index, images, aspect in ahead(decoded(), 2):
            readings = reader.look(images, looks=looks)
            columns = {
                "benchmark": name,
                "index": index,
                "label": crops.labels(index),
                "prediction": [reading.text for reading in readings],
                "confidence": [reading.confidence for reading in readings],
                "confidences": [reading.confidences for reading in readings],
                "aspect": aspect,
            }
            tables.append(pd.DataFrame(columns))
            bar.update(len(index))
    return pd.concat(tables, ignore_index=True)
