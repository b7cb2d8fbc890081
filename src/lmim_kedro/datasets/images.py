"""Pictures in the catalog."""

import base64

import numpy as np
from kedro.io import AbstractDataset, DatasetError
from PIL import Image

from lmim_kedro.datasets import ImagePreview
from lmim_kedro.datasets.path import AtPath, told
from lmim_kedro.files import whole


class PngDataset(AtPath, AbstractDataset[np.ndarray, np.ndarray]):
    """A picture, (H, W, 3) uint8 RGB, in a PNG file; Kedro-Viz shows it."""

    def load(self) -> np.ndarray:
        """The picture, (H, W, 3) uint8."""
        with told(self.path), Image.open(self.path) as image:
            return np.asarray(image.convert("RGB"))

    def save(self, data: np.ndarray) -> None:
        """Write the picture, whole or not at all. Errors: DatasetError if it is not (H, W, 3) uint8."""
        if data.ndim != 3 or data.shape[2] != 3 or data.dtype != np.uint8:
            raise DatasetError(f"{self.path} takes a picture (H, W, 3) uint8, not one of {data.shape} {data.dtype}")
        with whole(self.path) as part:
            Image.fromarray(data).save(part, "PNG")

    def preview(self) -> ImagePreview:
        """The picture as it is."""
        return ImagePreview(base64.b64encode(self.path.read_bytes()).decode())
