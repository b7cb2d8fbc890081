"""Reading crops from wherever the user has them: files, folders, LMDBs, images in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from lmim_kedro.crops.raw import RawCrop
from lmim_kedro.crops.stream import Image, crops_of, stream
from lmim_kedro.models.recognizer import Reading, Recognizer


def read_crops(
    recognizer: Recognizer, images: Image | Iterable[Image], batch_size: int = 256, beam: int = 1
) -> Iterator[Reading]:
    """Read images in their order, while the next ones are being decoded; see Recognizer.read.

    Errors: InputError if a folder, list or LMDB has no crops.
    """
    return read_named(recognizer, crops_of(images), batch_size, beam)


def read_named(
    recognizer: Recognizer,
    crops: Iterable[tuple[str | None, Image | RawCrop]],
    batch_size: int = 256,
    beam: int = 1,
) -> Iterator[Reading]:
    """A Reading for each crop under its name, in order; one that has no pixels is an error, not an exception."""
    recognizer.eval()
    device = next(recognizer.parameters()).device
    size = recognizer.model
    for batch in stream(crops, size.image_height, size.image_width, batch_size):
        readings = iter(())
        if len(batch.images):
            images = torch.from_numpy(batch.images).to(device).float() / 127.5 - 1
            readings = iter(recognizer.read_batch(images, beam))
        for key, error in zip(batch.keys, batch.errors, strict=True):
            yield Reading("", 0.0, (), error, key) if error else next(readings)._replace(key=key)
