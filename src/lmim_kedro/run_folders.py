"""The folders that a run writes to, which no other run may write to at the same time."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path, PurePath

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from lmim_kedro.datasets.path import PathDataset
from lmim_kedro.locks import writing

STATE = "training_state"
OTHERWISE = "wait for it (--wait does that), or choose another variant, seed or environment"


class RunFolders:
    """The folders that a run holds: each until the last of its results is saved, that of training states to the end.

    Example:
        >>> RunFolders().held
        []
    """

    def __init__(self) -> None:
        self._locks: dict[Path, ExitStack] = {}
        self._pending: dict[Path, set[str]] = {}
        self._process = os.getpid()

    @property
    def held(self) -> list[Path]:
        """The folders that are held now."""
        return sorted(self._locks)

    def take(self, results: Mapping[Path, set[str]], wait: bool) -> bool:
        """Lock folders, all in the same order, so that no two runs wait for each other.

        Args:
            results: what will be saved in each folder; a folder without results is held to the end.
            wait: whether to wait for other runs.

        Returns:
            whether there was one to wait for.

        Errors: InputError with the name of another run that holds one of them, without `wait`; none is held then.
        """
        self.release()
        waited, self._process = False, os.getpid()
        try:
            for folder in sorted(results):
                stack = ExitStack()
                waited |= stack.enter_context(writing(folder, wait, OTHERWISE))
                self._locks[folder] = stack
        except BaseException:
            self.release()
            raise
        self._pending = {folder: set(names) for folder, names in results.items() if names}
        return waited

    def keep(self, results: Mapping[Path, set[str]]) -> None:
        """Hold only some of the folders on, as there is less to make than when they were taken."""
        for folder in set(self._locks) - set(results):
            self.release(folder)
        self._pending = {folder: set(names) for folder, names in results.items() if names and folder in self._locks}

    def saved(self, name: str) -> None:
        """Note that a result has been saved, and let go of its folder if it was the last one there."""
        if (
            os.getpid() != self._process
        ):  # one of Kedro's ParallelRunner: the folders are those of the process that began
            return
        for folder, names in list(self._pending.items()):
            names.discard(name)
            if not names:
                self.release(folder)

    def release(self, *folders: Path) -> None:
        """Let go of some folders, or of all."""
        for folder in folders or self.held:
            self._pending.pop(folder, None)
            self._locks.pop(folder, ExitStack()).close()


def folders_written(pipeline: Pipeline, catalog: DataCatalog) -> dict[Path, set[str]]:
    """Each folder that a pipeline writes to, and the results that it saves there.

    The folder of the training states has no results here: what lies there is removed when the whole run has succeeded.
    """
    places = {name: place_of(catalog, name) for name in pipeline.all_outputs()}
    written = {name: Path(place).parent for name, place in places.items() if place is not None}
    found: dict[Path, set[str]] = {folder: set() for folder in written.values()}
    for name, folder in written.items():
        found[folder].add(name)
    for name in pipeline.inputs() & {STATE}:
        if isinstance(state := catalog.get(name), PathDataset):
            found[state.path.parent] = set()
    return found


def steps_to_run(pipeline: Pipeline, catalog: DataCatalog) -> Pipeline:
    """The steps that --only-missing-outputs leaves: whose results are missing, or in memory and read by such a step."""
    wanted: set[str] = set()
    chosen = []
    for step in reversed(pipeline.nodes):
        made = set(step.outputs)
        kept = {name for name in made if name in catalog and place_of(catalog, name) is not None}
        if not made or any(not catalog.exists(name) for name in kept) or (made - kept) & wanted:
            chosen.append(step)
            wanted |= set(step.inputs)
    return Pipeline(chosen)


def place_of(catalog: DataCatalog, name: str, project: str | Path | None = None) -> str | None:
    """Where the catalog keeps a dataset, relative to the project; None for one that is kept in memory."""
    entry = catalog.config_resolver.resolve_pattern(name)
    place = entry.get("filepath", entry.get("path"))
    if not isinstance(place, str | PurePath):
        return None
    path = Path(place)
    return str(path.relative_to(project) if project and path.is_relative_to(project) else path)
