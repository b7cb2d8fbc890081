"""A few named arrays in the catalog."""

import numpy as np
from kedro.io import AbstractDataset

from lmim_kedro.datasets import TablePreview
from lmim_kedro.datasets.path import AtPath, told
from lmim_kedro.datasets.tables import preview_rows
from lmim_kedro.files import whole


class ArraysDataset(AtPath, AbstractDataset[dict[str, np.ndarray], dict[str, np.ndarray]]):
    """A dictionary of NumPy arrays in one .npz file; nothing in it is ever unpickled.

    Example:
        >>> from tempfile import mkdtemp
        >>> dataset = ArraysDataset(filepath=f"{mkdtemp()}/some.npz")
        >>> dataset.save({"a": np.arange(3)})
        >>> dataset.load()
        {'a': array([0, 1, 2])}
    """

    def load(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        with told(self.path), np.load(self.path, allow_pickle=False) as file:
            return dict(file)

    def save(self, data: dict[str, np.ndarray]) -> None:
        """Write all arrays, compressed, whole or not at all."""
        with whole(self.path) as part, part.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **data)

    def preview(self) -> TablePreview:
        """A row for each array."""
        return preview_rows(
            ["array", "shape", "type"], [[name, array.shape, str(array.dtype)] for name, array in self.load().items()]
        )
