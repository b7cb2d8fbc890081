"""Pictures in the catalog."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

from lmim_kedro.datasets import ImagePreview

if TYPE_CHECKING:
    import numpy as np

from lmim_kedro.files import whole


class PngDataset(AbstractDataset["np.ndarray", "np.ndarray"]):
    """A picture, (H, W, 3) uint8 RGB, in a PNG file; Kedro-Viz shows it.

    Args:
        filepath: the file.
        metadata: for plugins such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> np.ndarray:
        """The picture, (H, W, 3) uint8."""
        import numpy as np
        from PIL import Image

        with Image.open(self._path) as image:
            return np.asarray(image.convert("RGB"))

    def save(self, data: np.ndarray) -> None:
        """Write the picture, whole or not at all. Errors: DatasetError if it is not (H, W, 3) uint8."""
        from PIL import Image

        if data.ndim != 3 or data.shape[2] != 3 or str(data.dtype) != "uint8":
            raise DatasetError(f"{self._path} takes a picture (H, W, 3) uint8, not one of {data.shape} {data.dtype}")
        with whole(self._path) as part:
            Image.fromarray(data).save(part, "PNG")

    def _exists(self) -> bool:
        return self._path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}

    def preview(self) -> ImagePreview:
        """The picture as it is."""
        return ImagePreview(base64.b64encode(self._path.read_bytes()).decode())
