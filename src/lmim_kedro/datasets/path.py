"""Places in the catalog: what datasets of one file or folder share, and the places that nodes write to themselves."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError


class AtPath:
    """A dataset that is one file.

    Args:
        filepath: the file; for some datasets, the folder.
        metadata: for plugins such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self.path, self.metadata = Path(filepath), metadata

    def _exists(self) -> bool:
        return self.path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.path)}

    def require(self, made: Path) -> None:
        """Check that a node has written to this place, where it will be loaded from. Errors: DatasetError."""
        if made != self.path:
            raise DatasetError(
                f"a node has written {made}, but the catalog says {self.path}: name one filepath for both"
            )


class PathDataset(AtPath, AbstractDataset[Path, Path]):
    """A file or folder that a node writes piece by piece, such as the state of a training run; loading gives its path.

    Work that can be interrupted and goes on where it stopped needs its place while it runs. So a node takes the place
    from the catalog, does the work there, and gives back what a second dataset loads from the same place.

    Example:
        >>> PathDataset(filepath="data/state").load().name
        'state'
    """

    def load(self) -> Path:
        """The path; nothing need be there yet."""
        return self.path

    def save(self, data: Path) -> None:
        """Not to be saved to: nodes write to the path."""
        raise DatasetError(f"{self.path} is written by nodes, not saved by the catalog")

    def _exists(self) -> bool:
        return True


class WrittenDataset(AtPath, AbstractDataset[Path, Path]):
    """A file that a node has written where a PathDataset of the same filepath says, and that later nodes open."""

    def load(self) -> Path:
        """The path. Errors: DatasetError if there is no file."""
        if not self._exists():
            raise DatasetError(f"there is nothing at {self.path}: run the pipeline that writes it")
        return self.path

    def save(self, data: Path) -> None:
        """Check that a node has written the file. Errors: DatasetError if it is another one."""
        self.require(data)
