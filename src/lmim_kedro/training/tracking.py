"""Runs in MLflow: parameters and report of a Kedro run, and the curves of each stage while it trains."""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lmim_kedro.errors import InputError
from lmim_kedro.files import digest, read_json, write_json

log = logging.getLogger(__name__)

EXPERIMENT = "lmim-kedro"
"""Where MLFLOW_EXPERIMENT_NAME names no other."""
NAMED = "run.json"
BATCH = 100
"""Parameters that MLflow takes at once."""


class MLflowRun:
    """A run at MLFLOW_TRACKING_URI, which a folder names: the same parameters continue it, others begin a new one.

    Args:
        folder: holds the run's name in `run.json`.
        name: what MLflow shows it as.
        parameters: plain values, nested; logged as `pretraining.mask_ratio`. None: those of the run that the folder
            names, if any.

    Errors: InputError where MLflow is not installed, or its server refuses.
    """

    def __init__(self, folder: Path, name: str, parameters: Mapping[str, Any] | None = None) -> None:
        try:
            from mlflow import get_tracking_uri
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise InputError(
                "the logger mlflow needs MLflow: pip install -e '.[mlflow]', or leave it out of training.loggers"
            ) from error
        self.refusal: type[Exception] = MlflowException
        try:
            self._client = MlflowClient()
            self._id = self._continued(folder, parameters) or self._begun(folder, name, parameters or {})
        except MlflowException as error:
            reason = " ".join(str(error).split())
            raise InputError(f"MLflow at {get_tracking_uri()} cannot be used: {reason}") from error

    def log(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Log the finite numbers among some values, nested ones under their full names."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        numbers = {name: value for name, value in flat(values) if isinstance(value, int | float)}
        metrics = [Metric(name, float(value), now, step) for name, value in numbers.items() if math.isfinite(value)]
        self._client.log_batch(self._id, metrics=metrics)

    def attach(self, file: Path) -> None:
        """Attach a file."""
        self._client.log_artifact(self._id, str(file))

    def end(self, status: str = "FINISHED") -> None:
        """Say that it has ended: FINISHED or FAILED."""
        self._client.set_terminated(self._id, status)

    def _continued(self, folder: Path, parameters: Mapping[str, Any] | None) -> str | None:
        """The run that the folder names, if it is there and has these parameters."""
        named = read_json(folder / NAMED)
        if not named or (parameters is not None and named["parameters"] != digest(parameters)):
            return None
        try:
            self._client.update_run(named["id"], status="RUNNING")
        except self.refusal:  # of another server, or deleted there
            return None
        return str(named["id"])

    def _begun(self, folder: Path, name: str, parameters: Mapping[str, Any]) -> str:
        from mlflow.entities import Param
        from mlflow.environment_variables import MLFLOW_EXPERIMENT_NAME

        experiment = MLFLOW_EXPERIMENT_NAME.get() or EXPERIMENT
        found = self._client.get_experiment_by_name(experiment)
        place = found.experiment_id if found else self._client.create_experiment(experiment)
        begun: str = self._client.create_run(place, run_name=name).info.run_id
        given = [Param(key, str(value)) for key, value in flat(parameters)]
        for start in range(0, len(given), BATCH):
            self._client.log_batch(begun, params=given[start : start + BATCH])
        write_json(folder / NAMED, {"id": begun, "parameters": digest(parameters)})
        return begun


class MLflow:
    """The logger `mlflow`: rows of the metrics table become curves, `fine-tuning/loss`, of the run beside its folder.

    Args:
        folder: named after the stage.
    """

    def __init__(self, folder: Path) -> None:
        self._run, self._stage = MLflowRun(folder.parent, folder.name), folder.name

    def write(self, step: int, row: dict[str, float]) -> None:
        """Log every scalar of a row but the step itself; where the server refuses, warn and go on training."""
        try:
            self._run.log({f"{self._stage}/{name}": value for name, value in row.items() if name != "step"}, step)
        except self._run.refusal as error:
            log.warning("MLflow has no row of step %d: %s", step, " ".join(str(error).split()))

    def close(self) -> None:
        """Nothing is left to write; the run ends with the command."""


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings with their full names.

    Example:
        >>> list(flat({"seed": 0, "model": {"width": 192}}))
        [('seed', 0), ('model.width', 192)]
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
