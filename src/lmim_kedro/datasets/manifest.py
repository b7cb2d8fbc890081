"""The manifest in the catalog."""

from collections.abc import Iterable

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset, DatasetError

from lmim_kedro.crops.store.manifest import write_manifest
from lmim_kedro.datasets import TablePreview
from lmim_kedro.datasets.path import AtPath, told
from lmim_kedro.datasets.tables import preview_frame
from lmim_kedro.errors import InputError


class ManifestDataset(AtPath, AbstractDataset[Iterable[pa.Table], pd.DataFrame]):
    """One Parquet file with a row for every crop, written table by table: `lmim_kedro.crops.store.manifest.SCHEMA`."""

    def load(self) -> pd.DataFrame:
        """The whole manifest. Errors: DatasetError with the command that makes it."""
        if not self._exists():
            missing = (
                f"no manifest at {self.path}: make it with `kedro run --pipelines=ingest`, with the --env of this run"
            )
            raise DatasetError(missing) from InputError(missing)
        with told(self.path):
            return pd.read_parquet(self.path)

    def save(self, data: Iterable[pa.Table]) -> None:
        """Write the tables, one at a time; the file appears when it is whole."""
        write_manifest(data, self.path)

    def preview(self, nrows: int = 40) -> TablePreview:
        """The first rows."""
        file = pq.ParquetFile(self.path)
        first = next(file.iter_batches(batch_size=nrows), file.schema_arrow.empty_table())
        return preview_frame(first.to_pandas())
