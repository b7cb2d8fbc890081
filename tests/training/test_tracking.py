"""The logger `mlflow` and a run's parameters, scores and report, in a store on disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline

from lmim_kedro import hooks
from lmim_kedro.config import ConfigLoader
from lmim_kedro.datasets.path import PathDataset
from lmim_kedro.errors import InputError
from lmim_kedro.registries import LOGGERS
from lmim_kedro.settings import CONFIG_LOADER_ARGS


def test_where_mlflow_is_not_installed_a_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match=r"the logger mlflow needs MLflow: pip install -e '.\[mlflow\]'"):
        LOGGERS["mlflow"](tmp_path / "mlflow" / "teacher")


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    tracking = pytest.importorskip("mlflow.tracking", reason="needs the extra `mlflow`")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    return tracking.MlflowClient()


def runs(client: Any) -> list[Any]:
    return list(client.search_runs([client.get_experiment_by_name("lmim-kedro").experiment_id]))


def test_a_run_has_its_parameters_curves_scores_and_report(project: Path, tmp_path: Path, client: Any) -> None:
    bootstrap_project(project)
    given = {"training": {"loggers": ["mlflow"]}, "seed": 3}
    parameters = ConfigLoader(project / "conf", "sample", given, **CONFIG_LOADER_ARGS)["parameters"]
    made = {"metrics": "json.JSONDataset", "report": "text.TextDataset"}
    places = {"metrics": "metrics.json", "report": "report.html"}
    catalog = DataCatalog.from_config(
        {name: {"type": kind, "filepath": str(tmp_path / places[name])} for name, kind in made.items()}
    )
    catalog["parameters"] = MemoryDataset(parameters)
    catalog["params:recipe"] = MemoryDataset(parameters["recipe"])
    catalog["training_state"] = PathDataset(filepath=str(tmp_path / "state"))
    for name, value in (("metrics", {"waics_percent": 75.0, "seed": None}), ("report", "<p>")):
        catalog.save(name, value)
    steps = pipeline([node(lambda: (1, 2), None, ["metrics", "report"], name="score_predictions")])
    params = {"project_path": str(tmp_path), "only_missing_outputs": True}
    run = hooks.RunHooks()
    run.before_pipeline_run(params, steps, catalog)
    logger = LOGGERS["mlflow"](tmp_path / "state" / "mlflow" / "fine-tuning")
    for step, loss in ((50, 2.0), (100, 1.0)):
        logger.write(step, {"step": step, "loss": loss, "validation_waics": float("nan")})
    logger.close()
    run.after_pipeline_run(params, steps, catalog)

    (found,) = runs(client)
    assert (found.info.run_name, found.info.status) == ("lmim/sample/seed3", "FINISHED")
    recipe = found.data.params
    assert (recipe["pretraining.mask_ratio"], recipe["seed"], recipe["model_name"]) == ("0.8", "3", "conv_tiny")
    assert found.data.metrics == {"fine-tuning/loss": 1.0, "waics_percent": 75.0}
    curve = client.get_metric_history(found.info.run_id, "fine-tuning/loss")
    assert [(point.step, point.value) for point in curve] == [(50, 2.0), (100, 1.0)]
    assert [file.path for file in client.list_artifacts(found.info.run_id)] == ["report.html"]

    run.before_pipeline_run(params, steps, catalog)  # the same recipe goes on
    run.on_pipeline_error()
    assert [each.info.status for each in runs(client)] == ["FAILED"]
    catalog["params:recipe"] = MemoryDataset(parameters["recipe"] | {"seed": 4})
    run.before_pipeline_run(params, steps, catalog)
    assert {each.info.run_name for each in runs(client)} == {"lmim/sample/seed3", "lmim/sample/seed4"}


def test_a_store_that_refuses_is_a_sentence(tmp_path: Path, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "other").as_uri())
    with pytest.raises(InputError, match="^MLflow at file://.* cannot be used: The filesystem tracking backend"):
        LOGGERS["mlflow"](tmp_path / "mlflow" / "teacher")


def test_training_goes_on_where_the_server_takes_no_row(
    tmp_path: Path, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    logger = LOGGERS["mlflow"](tmp_path / "mlflow" / "teacher")
    (run,) = runs(client)
    client.delete_run(run.info.run_id)
    logger.write(50, {"step": 50, "loss": 2.0})
    assert caplog.messages[-1].startswith("MLflow has no row of step 50: ")
