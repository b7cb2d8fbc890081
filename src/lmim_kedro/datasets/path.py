"""Places in the catalog: what datasets of one file or folder share, and the places that nodes write to themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets.json import JSONDataset
from PIL import UnidentifiedImageError

from lmim_kedro.errors import InputError

DAMAGE = (ValueError, EOFError, RecursionError, BadZipFile, UnidentifiedImageError)
"""What readers of files raise where a file is not what it should be."""


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


@contextmanager
def told(path: Path | str) -> Iterator[None]:
    """Tell of a file that is damaged in a sentence. Errors: InputError, from which Kedro raises a DatasetError."""
    try:
        yield
    except DAMAGE as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} cannot be read ({reason}): it is damaged, or from another version; make it again"
        ) from error


class Told:
    """A dataset of Kedro's in one file: one that is damaged is told in a sentence.

    Args:
        filepath: the file.
        options: those of the dataset.
    """

    def __init__(self, *, filepath: str, **options: Any) -> None:
        super().__init__(filepath=filepath, **options)  # type: ignore[call-arg]
        self._place = filepath

    def load(self) -> Any:
        """What the file holds. Errors: InputError, from which Kedro raises a DatasetError."""
        with told(self._place):
            try:
                return super().load()  # type: ignore[misc]
            except DatasetError as error:
                if isinstance(error.__cause__, DAMAGE):
                    raise error.__cause__ from error
                raise


class JsonFile(Told, JSONDataset):
    """A JSON file: json.JSONDataset of Kedro."""


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
