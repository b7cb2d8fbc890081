"""What a recognizer read in crops without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kedro.io import AbstractDataset, DatasetError

from lmim_kedro.datasets import TablePreview
from lmim_kedro.datasets.path import require_place

if TYPE_CHECKING:
    import pandas as pd


class ReadingsDataset(AbstractDataset["Path", "pd.DataFrame"]):
    """A table with a row per crop: key, text, confidence, confidences (of each character), error.

    A node writes the file where a PathDataset of the same filepath says, reading by reading.

    Args:
        filepath: the file.
        format: "csv", "jsonl" or "parquet".
        metadata: for plugins such as Kedro-Viz.
    """

    def __init__(
        self, *, filepath: str, format: Literal["csv", "jsonl", "parquet"], metadata: dict[str, Any] | None = None
    ) -> None:
        self._path, self._format, self.metadata = Path(filepath), format, metadata

    def load(self) -> pd.DataFrame:
        """The table."""
        import json

        import pandas as pd

        if not self._path.is_file():
            raise DatasetError(f"no readings at {self._path}: make them with `kedro run --pipelines=predict`")
        if self._format == "parquet":
            return pd.read_parquet(self._path)
        if self._format == "jsonl":
            return pd.read_json(self._path, lines=True, dtype={"text": str, "key": str}, precise_float=True)
        table = pd.read_csv(self._path, dtype={"key": str, "text": str, "error": str}, keep_default_na=False)
        return table.assign(confidences=table["confidences"].map(json.loads))

    def save(self, data: Path) -> None:
        """Check that a node has written the file that will be loaded. Errors: DatasetError."""
        require_place(data, self._path)

    def _exists(self) -> bool:
        return self._path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path), "format": self._format}

    def preview(self, nrows: int = 20) -> TablePreview:
        """The first rows."""
        table = self.load().head(nrows)
        rows = [[str(value) for value in row] for row in table.itertuples(index=False)]
        return TablePreview({"index": list(range(len(rows))), "columns": list(table.columns), "data": rows})
