"""The manifest in the catalog."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

from lmim_kedro.datasets import TablePreview
from lmim_kedro.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class ManifestDataset(AbstractDataset["Iterable[pa.Table]", "pd.DataFrame"]):
    """One Parquet file with a row for every crop, written table by table: `lmim_kedro.crops.store.manifest.SCHEMA`.

    Args:
        filepath: the file.
        metadata: for plugins such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._path, self.metadata = Path(filepath), metadata

    def load(self) -> pd.DataFrame:
        """The whole manifest. Errors: DatasetError with the command that makes it."""
        import pandas as pd

        if not self._exists():
            missing = (
                f"no manifest at {self._path}: make it with `kedro run --pipelines=ingest`, with the --env of this run"
            )
            raise DatasetError(missing) from InputError(missing)
        return pd.read_parquet(self._path)

    def save(self, data: Iterable[pa.Table]) -> None:
        """Write the tables, one at a time; the file appears when it is whole."""
        from lmim_kedro.crops.store.manifest import write_manifest

        write_manifest(data, self._path)

    def _exists(self) -> bool:
        return self._path.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}

    def preview(self, nrows: int = 40) -> TablePreview:
        """The first rows."""
        import json

        import pyarrow.parquet as pq

        batch = next(pq.ParquetFile(self._path).iter_batches(batch_size=nrows))
        return TablePreview(json.loads(batch.to_pandas().to_json(orient="split")))
