"""The report's page in the catalog."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from lmim_kedro.files import whole


class PageDataset(AbstractDataset[str, str]):
    """An HTML page.

    Args:
        filepath: the file.
        metadata: for plugins such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> str:
        """The page's text. Errors: DatasetError with the command that makes it."""
        try:
            return self._path.read_text("utf-8")
        except FileNotFoundError:
            raise DatasetError(
                f"no page at {self._path}: make it with `kedro run --pipelines=report`, with --env as for this run"
            ) from None

    def save(self, data: str) -> None:
        """Write the page, whole or not at all."""
        with whole(self._path) as part:
            part.write_text(data, "utf-8")

    def _exists(self) -> bool:
        return self._path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
