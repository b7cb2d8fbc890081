"""The packed store in the catalog."""

import base64
from typing import Any

import cv2
import numpy as np
from kedro.io import AbstractDataset, DatasetError

from lmim_kedro.crops.pixels import decode
from lmim_kedro.crops.sheets import draw_sheet
from lmim_kedro.crops.store.packed import EXCLUDED_FILE, STORE_FILE, PackedStore
from lmim_kedro.datasets import ImagePreview
from lmim_kedro.datasets.path import AtPath
from lmim_kedro.errors import InputError

_LETTERS = 20
"""Of a label, in the preview."""


class PackedStoreDataset(AtPath, AbstractDataset[PackedStore, PackedStore]):
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
        super().__init__(filepath=filepath, metadata=metadata)
        self._whole, self._checked = whole, checked

    def load(self) -> PackedStore:
        """Open the store; no crop is read yet."""
        try:
            store = PackedStore(self.path, self._whole)
            if self._checked and not (self.path / EXCLUDED_FILE).is_file():
                raise InputError(
                    f"the packed store {self.path} was not checked for crops of the benchmarks ({EXCLUDED_FILE} is "
                    "missing): run `kedro run --pipelines=ingest`, with the --env of this run"
                )
            return store
        except InputError as error:
            raise DatasetError(str(error)) from error

    def save(self, data: PackedStore) -> None:
        """Check that a node has made the store. Errors: DatasetError if it is another one."""
        self.require(data.path)

    def preview(self, crops: int = 48) -> ImagePreview:
        """A contact sheet of crops, evenly spaced over the store, in their own aspect ratio, with their labels."""
        store = self.load()
        shown = min(crops, len(store))
        indices = np.arange(shown) * len(store) // max(1, shown)
        labels = store.labels(indices) if store.labeled else [""] * shown
        pictures = zip(store.fetch(indices), labels, strict=True)
        entries = [([decode(data)], label[:_LETTERS]) for data, label in pictures]
        sheet = draw_sheet(entries, columns=4, size=(160, 48), caption=130 if store.labeled else 0)
        return ImagePreview(base64.b64encode(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes()).decode())

    def _exists(self) -> bool:
        checked = not self._checked or (self.path / EXCLUDED_FILE).is_file()
        return checked and (self.path / STORE_FILE).is_file()
