"""Tables in the catalog, and how Kedro-Viz shows their rows or draws their columns."""

import csv
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from kedro_datasets.pandas import CSVDataset, ParquetDataset

from lmim_kedro.datasets import PlotlyPreview, TablePreview
from lmim_kedro.datasets.path import Told
from lmim_kedro.files import guarded, unguarded


def preview_rows(columns: Iterable[Any], rows: Iterable[Sequence[Any]]) -> TablePreview:
    """Rows as Kedro-Viz shows them: floats to four digits, lists as text, and "" where a value is missing.

    Example:
        >>> preview_rows(["word", "loss"], [["cat", 1.23456789], [None, [0.5, 2]]])["data"]
        [['cat', '1.235'], ['', '0.5, 2']]
    """
    data = [[_shown(value) for value in row] for row in rows]
    return TablePreview({"index": list(range(len(data))), "columns": [str(name) for name in columns], "data": data})


def preview_frame(table: pd.DataFrame) -> TablePreview:
    """The rows of a table, as `preview_rows` shows them."""
    return preview_rows(table.columns, table.itertuples(index=False, name=None))


class GuardedCsv(Told, CSVDataset):
    """A table in a CSV file, in which no spreadsheet takes a text for a formula (`files.guarded`)."""

    DEFAULT_SAVE_ARGS = {**CSVDataset.DEFAULT_SAVE_ARGS, "quoting": csv.QUOTE_NONNUMERIC}  # a text may hold line ends

    def save(self, data: pd.DataFrame) -> None:
        """Write the table."""
        super().save(_texts_of(data, guarded))

    def load(self) -> pd.DataFrame:
        """The table, as it was saved."""
        return _texts_of(super().load(), unguarded)


class CsvTable(GuardedCsv):
    """A table in a CSV file: pandas.CSVDataset with a preview that can be read."""

    def preview(self, nrows: int = 40) -> TablePreview:
        """The first rows."""
        first = super().preview(nrows)
        return preview_rows(first["columns"], first["data"])


class ParquetTable(Told, ParquetDataset):
    """A table in a Parquet file: pandas.ParquetDataset with a preview that can be read, of lists too."""

    def preview(self, nrows: int = 40) -> TablePreview:
        """The first rows."""
        first = super().preview(nrows)
        return preview_rows(first["columns"], first["data"])


class CsvPlot(GuardedCsv):
    """A table in a CSV file that Kedro-Viz draws: pandas.CSVDataset with a plot as its preview.

    calibration:
      type: lmim_kedro.datasets.tables.CsvPlot
      filepath: data/08_reporting/calibration.csv
      metadata: {kedro-viz: {preview_args: {x: confidence_percent, y: accuracy_percent}}}
    """

    def preview(self, x: str, y: str, low: str | None = None, high: str | None = None) -> PlotlyPreview:
        """One column over another: as a line where `x` holds numbers, as bars where it holds names.

        Args:
            x: the column along the axis.
            y: the column that is drawn.
            low: the column with the lower ends of the error bars; none are drawn without both.
            high: the column with their upper ends.

        Returns:
            A figure as Plotly's JSON describes it: https://plotly.com/javascript/reference.
        """
        table = self.load()
        kind = {"mode": "lines+markers"} if pd.api.types.is_numeric_dtype(table[x]) else {"type": "bar"}
        trace: dict[str, Any] = kind | {"x": _points(table[x]), "y": _points(table[y])}
        if low is not None and high is not None:
            above, below = _points(table[high] - table[y]), _points(table[y] - table[low])
            trace |= {"error_y": {"type": "data", "symmetric": False, "array": above, "arrayminus": below}}
        titles = {name: {"title": {"text": column.replace("_", " ")}} for name, column in (("xaxis", x), ("yaxis", y))}
        return PlotlyPreview({"data": [trace], "layout": titles})


def _texts_of(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """The table with each of its texts changed; other values stay as they are."""
    columns = [
        name for name in table if not pd.api.types.is_numeric_dtype(table[name]) and table[name].map(_is_text).any()
    ]
    changed = {
        name: table[name].map(lambda value: change(value) if isinstance(value, str) else value) for name in columns
    }
    return table.assign(**changed) if changed else table


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _points(column: pd.Series) -> list[Any]:
    """The values of a column; None where one is missing, for JSON has no NaN."""
    return column.astype(object).where(column.notna(), None).tolist()


def _shown(value: Any) -> Any:
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(str(_shown(part)) for part in value)
    if pd.isna(value):
        return ""
    if isinstance(value, float | np.floating):
        number = float(value)
        return f"{number:.4g}" if abs(number) < 1000 else f"{number:.0f}"
    return value.item() if isinstance(value, np.generic) else value
