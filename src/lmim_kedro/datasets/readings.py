"""What a recognizer read in crops without labels."""

import json
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from lmim_kedro.datasets import TablePreview
from lmim_kedro.datasets.path import AtPath, told
from lmim_kedro.datasets.tables import preview_frame
from lmim_kedro.files import unguarded


class ReadingsDataset(AtPath, AbstractDataset[Path, pd.DataFrame]):
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
        super().__init__(filepath=filepath, metadata=metadata)
        self._format = format

    def load(self) -> pd.DataFrame:
        """The table."""
        if not self._exists():
            raise DatasetError(f"no readings at {self.path}: make them with `kedro run --pipelines=predict`")
        with told(self.path):
            return self._read()

    def _read(self) -> pd.DataFrame:
        if self._format == "parquet":
            return pd.read_parquet(self.path)
        if self._format == "jsonl":
            return pd.read_json(self.path, lines=True, dtype={"text": str, "key": str}, precise_float=True)
        table = pd.read_csv(self.path, dtype={"key": str, "text": str, "error": str}, keep_default_na=False)
        texts = {name: table[name].map(unguarded) for name in ("key", "text", "error")}
        return table.assign(confidences=table["confidences"].map(json.loads), **texts)

    def save(self, data: Path) -> None:
        """Check that a node has written the file. Errors: DatasetError if it is another one."""
        self.require(data)

    def preview(self, nrows: int = 20) -> TablePreview:
        """The first rows."""
        return preview_frame(self.load().head(nrows))

    def _describe(self) -> dict[str, Any]:
        return super()._describe() | {"format": self._format}
