"""One dataset of every run on disk: all variants and seeds of an environment."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError
from kedro.io.core import parse_dataset_definition

from lmim_kedro.datasets import TablePreview
from lmim_kedro.errors import InputError

Run = tuple[str, int]
"""Variant and seed."""


class RunsDataset(AbstractDataset[dict[Run, Callable[[], Any]], dict[Run, Callable[[], Any]]]):
    """What `<path>/<variant>/<env>/seed<seed>/<name>` holds, for every variant and seed that is there.

    Loading gives functions, by variant and seed in the order of their names: nothing is opened before it is wanted.

    Args:
        path: folder of the variants.
        env: name of the environment.
        name: of the file, or folder, in the folder of a run.
        dataset: how to load it: a dataset of the catalog without its filepath.
        required: whether at least one run must have it.
        metadata: for plugins such as Kedro-Viz.
    """

    def __init__(
        self,
        *,
        path: str,
        env: str,
        name: str,
        dataset: str | dict[str, Any],
        required: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._path, self._env, self._name, self._required = Path(path), env, name, required
        self._type: Any
        self._type, self._options = parse_dataset_definition(
            dataset if isinstance(dataset, dict) else {"type": dataset}
        )
        self.metadata = metadata

    def load(self) -> dict[Run, Callable[[], Any]]:
        """A function for each run. Errors: DatasetError if none has it and one must."""
        found = {run: self._loader(place) for run, place in self._places().items()}
        if self._required and not found:
            missing = (
                f"no run of environment `{self._env}` has {self._name} under {self._path}: make one with "
                f"`kedro run --env={self._env}`, or all with `dvc repro` (docs/reproduce.md)"
            )
            raise DatasetError(missing) from InputError(missing)
        return found

    def save(self, data: dict[Run, Callable[[], Any]]) -> None:
        """Not to be saved to: each run writes its own."""
        raise DatasetError(f"{self._name} is written by each run, not by what reads them all")

    def _places(self) -> dict[Run, Path]:
        places = {}
        for place in self._path.glob(f"*/{self._env}/seed*/{self._name}"):
            if seed := re.fullmatch(r"seed(\d+)", place.parent.name):
                places[place.parents[2].name, int(seed[1])] = place
        return dict(sorted(places.items()))

    def _loader(self, place: Path) -> Callable[[], Any]:
        return self._type(**self._options, filepath=str(place)).load

    def _exists(self) -> bool:
        return not self._required or bool(self._places())

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path), "env": self._env, "name": self._name}

    def preview(self) -> TablePreview:
        """A row for each run."""
        rows = [[variant, seed, str(place)] for (variant, seed), place in self._places().items()]
        return TablePreview({"index": list(range(len(rows))), "columns": ["variant", "seed", "file"], "data": rows})
