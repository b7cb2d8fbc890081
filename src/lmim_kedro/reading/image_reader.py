"""Reading images from wherever the user has them, whatever computes: the base of Reader and OnnxReader."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np

from lmim_kedro.crops.sources.stream import Image, NamedCrop, crops_of, stream
from lmim_kedro.params import MAX_PIXELS
from lmim_kedro.reading.looks import read_surest
from lmim_kedro.text.spelling import Reading


class ImageReader(ABC):
    """Reads files, folders, LMDBs and images in memory.

    Attributes:
        height, width: size in pixels to which images are resized.
        looks: looks at each crop, the surest of which counts, unless a call names another number: the recognizer's own.
    """

    height: int
    width: int
    looks: int = 1

    @abstractmethod
    def read_batch(self, images: np.ndarray, beam: int = 1) -> list[Reading]:
        """Read uint8 RGB crops (B, 3, height, width), looking once at each."""

    def read(
        self, images: Image | Iterable[Image], batch_size: int = 256, beam: int = 1, looks: int | None = None
    ) -> list[Reading]:
        """Read images of one word each, in their order.

        Args:
            images: paths, PIL images and uint8 arrays (H, W, 3) RGB or (H, W) gray, mixed; one of these alone; or the
                path of a folder, list or LMDB of crops.
            batch_size: number of images read at once.
            beam: number of hypotheses of beam search; 1: greedy.
            looks: 1, or 3: each crop is also read with a margin of 6 % added and of 3.5 % cut off on all sides, and
                the surest of the three readings counts; None: as the recognizer was made to be read.

        Returns:
            a Reading for each image; the `error` of an image that cannot be read says why.

        Errors: InputError if a folder, list or LMDB has no crops.
        """
        return list(self.read_crops(images, batch_size, beam, looks))

    def read_crops(
        self, images: Image | Iterable[Image], batch_size: int = 256, beam: int = 1, looks: int | None = None
    ) -> Iterator[Reading]:
        """Read images as a stream, while the next ones are being decoded; arguments and errors as in `read`."""
        return self.read_named(crops_of(images), batch_size, beam, looks=looks)

    def read_named(
        self,
        crops: Iterable[NamedCrop],
        batch_size: int = 256,
        beam: int = 1,
        threads: int = 2,
        max_pixels: int = MAX_PIXELS,
        looks: int | None = None,
    ) -> Iterator[Reading]:
        """Read crops that have names, as a stream in their order.

        Args:
            crops: names and images.
            batch_size, beam, looks: as for `read`.
            threads: number of threads that decode.
            max_pixels: largest image that is decoded; a larger one is an error.
        """
        for batch in stream(crops, self.height, self.width, batch_size, threads, max_pixels):
            good = iter(self.look(batch.images, beam, looks) if len(batch.images) else [])
            for key, error in zip(batch.keys, batch.errors, strict=True):
                yield Reading("", 0.0, (), error, key) if error else next(good)._replace(key=key)

    def look(self, images: np.ndarray, beam: int = 1, looks: int | None = None) -> list[Reading]:
        """Read uint8 RGB crops (B, 3, height, width), looking at each as often as asked; `looks` as for `read`."""
        return read_surest(lambda some: self.read_batch(some, beam), images, self.looks if looks is None else looks)
