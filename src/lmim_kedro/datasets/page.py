"""The report's page in the catalog."""

from kedro.io import AbstractDataset, DatasetError

from lmim_kedro.datasets.path import AtPath
from lmim_kedro.files import whole


class PageDataset(AtPath, AbstractDataset[str, str]):
    """An HTML page."""

    def load(self) -> str:
        """The page's text. Errors: DatasetError with the command that makes it."""
        try:
            return self.path.read_text("utf-8")
        except FileNotFoundError:
            raise DatasetError(
                f"no page at {self.path}: make it with `kedro run --pipelines=report`, with --env as for this run"
            ) from None

    def save(self, data: str) -> None:
        """Write the page, whole or not at all."""
        with whole(self.path) as part:
            part.write_text(data, "utf-8")
