"""Reading crops from wherever the user has them: files, folders, LMDBs, images in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd
import torch

from lmim_kedro.crops.pixels import decode_batch, to_input
from lmim_kedro.crops.sources.open import Source
from lmim_kedro.crops.sources.stream import Image, NamedCrop, crops_of, crops_of_source, stream
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.models.recognizer import Reading, Recognizer
from lmim_kedro.params import MAX_PIXELS
from lmim_kedro.progress import progress_bar


def read_crops(
    recognizer: Recognizer, images: Image | Iterable[Image], batch_size: int = 256, beam: int = 1
) -> Iterator[Reading]:
    """Read images in their order, while the next ones are being decoded; see Recognizer.read.

    Errors: InputError if a folder, list or LMDB has no crops.
    """
    return read_named(recognizer, crops_of(images), batch_size, beam)


def read_sources(
    recognizer: Recognizer,
    sources: Sequence[Source],
    batch_size: int,
    beam: int = 1,
    threads: int = 2,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Reading]:
    """Read all crops of some sources; of several, a key begins with its source's name."""
    several = len(sources) > 1
    with progress_bar(sum(map(len, sources)), desc="reading", unit="crop") as bar:
        for source in sources:
            for reading in read_named(recognizer, crops_of_source(source), batch_size, beam, threads, max_pixels):
                bar.update()
                yield reading._replace(key=f"{source.name}/{reading.key}") if several else reading


def read_named(
    recognizer: Recognizer,
    crops: Iterable[NamedCrop],
    batch_size: int = 256,
    beam: int = 1,
    threads: int = 2,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Reading]:
    """A Reading for each crop under its name, in order; one that has no pixels is an error, not an exception.

    Args:
        recognizer: on the device to read on.
        crops: names and images.
        batch_size: crops read at once.
        beam: hypotheses of beam search; 1: greedy.
        threads: threads that decode.
        max_pixels: an image with more pixels is an error, not decoded.
    """
    recognizer.eval()
    device = next(recognizer.parameters()).device
    size = recognizer.model
    for batch in stream(crops, size.image_height, size.image_width, batch_size, threads, max_pixels):
        good: Iterator[Reading] = iter(())
        if len(batch.images):
            images = torch.from_numpy(batch.images).to(device, non_blocking=True)
            good = iter(recognizer.read_batch(to_input(images), beam))
        for key, error in zip(batch.keys, batch.errors, strict=True):
            yield Reading("", 0.0, (), error, key) if error else next(good)._replace(key=key)


def read_store(recognizer: Recognizer, crops: PackedStore, batch_size: int, device: torch.device) -> pd.DataFrame:
    """Read every crop of a labeled store once, in order.

    Returns:
        a row per crop: benchmark (the source's name), index (in the store), label, prediction, confidence (0 to 1),
        confidences (of each character), aspect (width / height).
    """
    recognizer = recognizer.to(device).eval()
    model = recognizer.model
    tables = []
    with progress_bar(len(crops), desc="reading", unit="crop") as bar:
        for source in crops.sources:
            for start in range(source.start, source.stop, batch_size):
                index = range(start, min(start + batch_size, source.stop))
                images, aspect = decode_batch(crops.fetch(index), model.image_height, model.image_width)
                readings = recognizer.read_batch(to_input(torch.from_numpy(images).to(device)))
                tables.append(
                    pd.DataFrame(
                        {
                            "benchmark": source.name,
                            "index": index,
                            "label": crops.labels(index),
                            "prediction": [reading.text for reading in readings],
                            "confidence": [reading.confidence for reading in readings],
                            "confidences": [reading.confidences for reading in readings],
                            "aspect": aspect,
                        }
                    )
                )
                bar.update(len(index))
    return pd.concat(tables, ignore_index=True)
