"""Places in the catalog that nodes write to by themselves."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError


class PathDataset(AbstractDataset[Path, Path]):
    """A file or folder that a node writes piece by piece, such as the state of a training run; loading gives its path.

    Work that can be interrupted and goes on where it stopped needs its place while it runs. So a node takes the place
    from the catalog, does the work there, and gives back what a second dataset loads from the same place.

    Args:
        filepath: the file or folder.
        metadata: for plugins such as Kedro-Viz.

    Example:
        >>> PathDataset(filepath="data/state").load().name
        'state'
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> Path:
        """The path; nothing need be there yet."""
        return self._path

    def save(self, data: Path) -> None:
        """Not to be saved to: nodes write to the path."""
        raise DatasetError(f"{self._path} is written by nodes, not saved by the catalog")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}


def require_place(made: Path, place: Path) -> None:
    """Check that a node has written to the place of the dataset that takes its result. Errors: DatasetError."""
    if made != place:
        raise DatasetError(f"a node has written {made}, but the catalog says {place}: name the same filepath for both")
