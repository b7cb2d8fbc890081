"""What a recognizer read in crops without labels."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kedro.io import AbstractDataset, DatasetError

from lmim_kedro.datasets import TablePreview

if TYPE_CHECKING:
    import pandas as pd

    from lmim_kedro.text.spelling import Reading

log = logging.getLogger(__name__)


class ReadingsDataset(AbstractDataset["Iterator[Reading]", "pd.DataFrame"]):
    """A table with a row per crop: key, text, confidence, confidences (of each character), error.

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

    def save(self, data: Iterator[Reading]) -> None:
        """Read on, and write each reading as it comes."""
        from lmim_kedro.reading.files import write_readings

        crops, failed = write_readings(data, self._path, self._format)
        log.info("%s crops read%s", f"{crops:,}", f", {failed:,} of them with an error" if failed else "")

    def _exists(self) -> bool:
        return self._path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path), "format": self._format}

    def preview(self, nrows: int = 20) -> TablePreview:
        """The first rows."""
        table = self.load().head(nrows)
        rows = [[str(value) for value in row] for row in table.itertuples(index=False)]
        return TablePreview({"index": list(range(len(rows))), "columns": list(table.columns), "data": rows})
