"""Raw crops in the catalog: named folders, lists and LMDBs in the layouts that users have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

from lmim_kedro.datasets import TablePreview
from lmim_kedro.errors import InputError

if TYPE_CHECKING:
    from lmim_kedro.crops.sources.source import Source


class CropSources(AbstractDataset["list[Source]", "list[Source]"]):
    """A named list of sources of crops.

        pretraining.sources:
          type: lmim_kedro.datasets.crop_sources.CropSources
          sources:
            street: {path: data/01_raw/pretraining/street_lmdb}
            words: {format: rendered, words: 12000, split: pretraining}

    Args:
        sources: name -> description, as `lmim_kedro.crops.sources.open.open_source` takes it. Kedro makes every `path`
            absolute, from the project's folder.
        metadata: for plugins such as Kedro-Viz.
    """

    def __init__(
        self, *, sources: dict[str, dict[str, Any]] | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        self._sources, self.metadata = sources or {}, metadata

    def load(self) -> list[Source]:
        """Open every source, in the order of the catalog. Errors: DatasetError that names each one that fails."""
        try:
            return self._open()
        except InputError as error:
            raise DatasetError(str(error)) from error

    def _open(self) -> list[Source]:
        from lmim_kedro.crops.sources.open import open_source

        if not self._sources:
            raise InputError(
                "no sources of crops are named: list them under `sources` in conf/<env>/catalog_ingest.yml "
                "(docs/data.md), or choose an environment that has some with --env"
            )
        opened: list[Source] = []
        failures = []
        for name, spec in self._sources.items():
            try:
                opened.append(open_source(name, spec))
            except InputError as error:
                failures.append(str(error))
        if failures:
            raise InputError("\n".join(failures))
        return opened

    def faults(self) -> dict[str, str]:
        """A sentence for each source that is not where its path says, or not of a known layout; no crop is listed."""
        from lmim_kedro.crops.sources.open import detect

        found = {}
        for name, (path, layout) in self._paths().items():
            try:
                detect(path, layout)
            except InputError as error:
                found[name] = f"source {name}: {error}"
        return found

    def absent(self) -> dict[str, Path]:
        """The paths of the sources at which there is nothing."""
        paths = {name: path for name, (path, _) in self._paths().items()}
        return {name: path for name, path in paths.items() if "*" not in path.name and not path.exists()}

    def _paths(self) -> dict[str, tuple[Path, str | None]]:
        """Path and named layout of each source that lies on disk."""
        return {
            name: (Path(spec["path"]), spec.get("format"))
            for name, spec in self._sources.items()
            if isinstance(spec, Mapping) and spec.get("path") and spec.get("format") != "rendered"
        }

    def save(self, data: list[Source]) -> None:
        """Not to be saved to: raw crops are what the user has."""
        raise DatasetError("sources of crops are read only: ingest writes into a packed store")

    def _exists(self) -> bool:
        return bool(self._sources)

    def _describe(self) -> dict[str, Any]:
        return {"sources": list(self._sources)}

    def preview(self) -> TablePreview:
        """A row per source as the catalog names it; nothing is opened."""
        columns = sorted({option for spec in self._sources.values() for option in spec})
        rows = [[name, *(str(spec.get(column, "")) for column in columns)] for name, spec in self._sources.items()]
        return TablePreview({"index": list(range(len(rows))), "columns": ["source", *columns], "data": rows})
