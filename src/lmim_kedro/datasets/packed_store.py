"""The packed store in the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

from lmim_kedro.datasets import ImagePreview
from lmim_kedro.datasets.path import require_place
from lmim_kedro.errors import InputError

if TYPE_CHECKING:
    from lmim_kedro.crops.store.packed import PackedStore


class PackedStoreDataset(AbstractDataset["PackedStore", "PackedStore"]):
    """A folder of shards with crops already validated.

    A node makes the store where a PathDataset of the same filepath says; saving only checks that it did.

    Args:
        filepath: the folder.
        whole: show the crops that are left out of training too.
        checked: there must be a list of crops that are left out, though it may be empty.
        metadata: for plugins such as Kedro-Viz.
    """

    def __init__(
        self, *, filepath: str, whole: bool = False, checked: bool = False, metadata: dict[str, Any] | None = None
    ) -> None:
        self._folder, self._whole, self._checked, self.metadata = Path(filepath), whole, checked, metadata

    def load(self) -> PackedStore:
        """Open the store; no crop is read yet."""
        from lmim_kedro.crops.store.packed import EXCLUDED_FILE, PackedStore

        try:
            store = PackedStore(self._folder, self._whole)
            if self._checked and not (self._folder / EXCLUDED_FILE).is_file():
                raise InputError(
                    f"the packed store {self._folder} was not checked for crops of the benchmarks ({EXCLUDED_FILE} is "
                    "missing): run `kedro run --pipelines=ingest`, with the --env of this run"
                )
            return store
        except InputError as error:
            raise DatasetError(str(error)) from error

    def save(self, data: PackedStore) -> None:
        """Check that a store which a node has made is the one that will be loaded. Errors: DatasetError."""
        require_place(data.path, self._folder)

    def _exists(self) -> bool:
        from lmim_kedro.crops.store.packed import EXCLUDED_FILE, STORE_FILE

        checked = not self._checked or (self._folder / EXCLUDED_FILE).is_file()
        return checked and (self._folder / STORE_FILE).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}

    def preview(self, crops: int = 48) -> ImagePreview:
        """A contact sheet of crops, evenly spaced over the store, with their labels."""
        import base64

        from lmim_kedro.datasets.contact_sheet import draw_crops

        return ImagePreview(base64.b64encode(draw_crops(self.load(), crops)).decode())
