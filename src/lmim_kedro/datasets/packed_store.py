"""The packed store in the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import ImagePreview

from lmim_kedro.errors import InputError

if TYPE_CHECKING:
    from lmim_kedro.crops.prepare import IngestPlan
    from lmim_kedro.crops.store import PackedStore


class PackedStoreDataset(AbstractDataset["IngestPlan", "PackedStore"]):
    """A folder of shards with crops already validated.

    What is saved is a plan; saving carries it out, into this dataset's folder. So crops stream from the sources to the
    shards, and the catalog alone knows where.

    Args:
        filepath: the folder.
        metadata: for plugins such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder, self.metadata = Path(filepath), metadata

    def load(self) -> PackedStore:
        """Open the store; no crop is read yet."""
        from lmim_kedro.crops.store import PackedStore

        try:
            return PackedStore(self._folder)
        except InputError as error:
            raise DatasetError(str(error)) from error

    def save(self, data: IngestPlan) -> None:
        """Carry out the plan: make the shards that are not there yet."""
        try:
            data.write(self._folder)
        except InputError as error:
            raise DatasetError(str(error)) from error

    def _exists(self) -> bool:
        from lmim_kedro.crops.store import STORE_FILE

        return (self._folder / STORE_FILE).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}

    def preview(self, crops: int = 48) -> ImagePreview:
        """A contact sheet of crops, evenly spaced over the store, with their labels."""
        import base64

        from lmim_kedro.datasets.contact_sheet import draw_crops

        return ImagePreview(base64.b64encode(draw_crops(self.load(), crops)).decode())
