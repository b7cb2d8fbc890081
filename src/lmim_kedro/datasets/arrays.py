"""A few named arrays in the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

if TYPE_CHECKING:
    import numpy as np


class ArraysDataset(AbstractDataset["dict[str, np.ndarray]", "dict[str, np.ndarray]"]):
    """A dictionary of NumPy arrays in one .npz file; nothing in it is ever unpickled."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> dict[str, np.ndarray]:
        """All arrays by name."""
        import numpy as np

        with np.load(self._path, allow_pickle=False) as file:
            return dict(file)

    def save(self, data: dict[str, np.ndarray]) -> None:
        """Write all arrays, compressed."""
        import numpy as np

        self._path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(self._path, allow_pickle=False, **data)

    def _exists(self) -> bool:
        return self._path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
