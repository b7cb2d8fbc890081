"""Reading images from wherever the user has them, whatever computes: the base of Reader and OnnxReader."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np

from lmim_kedro.crops.sources.stream import Image, NamedCrop, crops_of, stream
from lmim_kedro.params import MAX_PIXELS
from lmim_kedro.text.spelling import Reading


class ImageReader(ABC):
    """Reads files, folders, LMDBs and images in memory.

    Attributes:
        height, width: size in pixels to which images are resized.
    """

    height: int
    width: int

    @abstractmethod
    def read_batch(self, images: np.ndarray, beam: int = 1) -> list[Reading]:
        """Read uint8 RGB crops (B, 3, height, width)."""

    def read(self, images: Image | Iterable[Image], batch_size: int = 256, beam: int = 1) -> list[Reading]:
        """Read images of one word each, in their order.

        Args:
            images: paths, PIL images and uint8 arrays (H, W, 3) RGB or (H, W) gray, mixed; one of these alone; or the
                path of a folder, list or LMDB of crops.
            batch_size: number of images read at once.
            beam: number of hypotheses of beam search; 1: greedy.

        Returns:
            a Reading for each image; the `error` of an image that cannot be read says why.

        Errors: InputError if a folder, list or LMDB has no crops.
        """
        return list(self.read_crops(images, batch_size, beam))

    def read_crops(self, images: Image | Iterable[Image], batch_size: int = 256, beam: int = 1) -> Iterator[Reading]:
        """Read images as a stream, while the next ones are being decoded; arguments and errors as in `read`."""
        return self.read_named(crops_of(images), batch_size, beam)

    def read_named(
        self,
        crops: Iterable[NamedCrop],
        batch_size: int = 256,
        beam: int = 1,
        threads: int = 2,
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[Reading]:
        """Read crops that have names, as a stream in their order.

        Args:
            crops: names and images.
            batch_size, beam: as for `read`.
            threads: number of threads that decode.
            max_pixels: largest image that is decoded; a larger one is an error.
        """
        for batch in stream(crops, self.height, self.width, batch_size, threads, max_pixels):
            good = iter(self.read_batch(batch.images, beam) if len(batch.images) else [])
            for key, error in zip(batch.keys, batch.errors, strict=True):
                yield Reading("", 0.0, (), error, key) if error else next(good)._replace(key=key)
