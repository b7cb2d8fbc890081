"""What Kedro-Viz shows of every pipeline: asked over its API, as the page in the browser asks."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog
from kedro_viz.api.apps import create_api_app_from_project
from kedro_viz.data_access import data_access_manager
from kedro_viz.server import load_and_populate_data
from safetensors.numpy import load_file
from starlette.testclient import TestClient

from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.store.packed import write_card
from lmim_kedro.params import IngestParams
from lmim_kedro.pipeline_registry import EXTRAS, STAGES

PIPELINES = ("__default__", *STAGES, *EXTRAS)
READY = Path("src", "lmim_kedro", "reading", "ready", "recognizer")
SECONDS = 1.0
"""Of computing, in which a preview must be there: the clock would tell how busy the machine is."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    """The project's configuration in a folder of its own, with some data of the sample."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(project / "conf", folder / "conf")
    shutil.copy(project / "pyproject.toml", folder)
    (folder / "src").mkdir()
    bootstrap_project(folder)
    with KedroSession.create(folder, save_on_close=False) as session:
        _fill(session.load_context().catalog, project)
    return folder


def _fill(catalog: DataCatalog, project: Path) -> None:
    lengths = {"length": ["3", "≥16"], "accuracy_percent": [50.0, None], "low_percent": [40.0, None]}
    words = {"label": ["cat", "dog"], "confidence": [0.123456789, 1.0], "confidences": [np.array([0.5, 1.0])] * 2}
    losses = pd.DataFrame({"step": [50, 100], "loss": [21.78192626953125, float("nan")]})
    catalog.save("predictions", pd.DataFrame(words))
    catalog.save("finetuning_metrics", losses)
    catalog.save("accuracy_by_length", pd.DataFrame(lengths | {"high_percent": [60.0, None]}))
    catalog.save("metrics", {"waics_percent": 90.5})
    catalog.save("recipe", {"variant": "lmim"})
    catalog.save("attention", {"maps": np.zeros((2, 3))})
    page = "<html><head><style>b_{}</style></head><body>\n<h1>conv_tiny</h1>\n<p>words</p></body></html>"
    catalog.save("report", page)
    shutil.copytree(project / READY, catalog["recognizer"].path)  # type: ignore[attr-defined]
    few = open_source("few", {"format": "rendered", "words": 3, "split": "heldout", "styles": {"easy": {}}})
    prepare([few], IngestParams(workers=1), catalog["benchmarks.crops_folder"].path, need_labels=True)  # type: ignore[attr-defined]
    write_card(catalog["views.store_folder"].path, "of a test", False, [])  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def client(copy: Path) -> Iterator[TestClient]:
    data_access_manager.reset_fields()
    load_and_populate_data(copy)
    with TestClient(create_api_app_from_project(copy)) as client:
        yield client
    data_access_manager.reset_fields()


def shown(client: TestClient, pipeline: str) -> dict[str, Any]:
    """What the page asks for first."""
    answer = client.get(f"/api/pipelines/{pipeline}")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def panel(client: TestClient, dataset: str) -> dict[str, Any]:
    """What the page asks for when a dataset of the default pipeline is clicked."""
    (node,) = [
        node for node in shown(client, "__default__")["nodes"] if (node["name"], node["type"]) == (dataset, "data")
    ]
    found: dict[str, Any] = client.get(f"/api/nodes/{node['id']}").json()
    return found


def test_stages_are_the_boxes_and_ingest_has_one_for_each_use(client: TestClient) -> None:
    tree = shown(client, "__default__")["modular_pipelines"]
    uses = {f"ingest.{use}" for use in ("pretraining", "finetuning", "benchmarks")}
    assert tree.keys() == {"__root__", *STAGES, *uses}
    outside = {child["type"] for child in tree["__root__"]["children"]}
    assert outside == {"modularPipeline", "data", "parameters"}  # no node is outside of a box


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_layers_are_in_the_order_of_the_data_folders(client: TestClient, pipeline: str) -> None:
    found = shown(client, pipeline)
    there = {node["layer"] for node in found["nodes"] if node.get("layer")}
    layers = [layer for layer in found["layers"] if layer in there]
    assert layers == sorted(there)
    assert len(layers) > 1


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_node_answers_within_a_second(client: TestClient, pipeline: str) -> None:
    for node in shown(client, pipeline)["nodes"]:
        start = process_time()
        assert client.get(f"/api/nodes/{node['id']}").status_code == 200, node["name"]
        assert process_time() - start < SECONDS, node["name"]


def test_rows_have_four_digits_and_lists_are_text(client: TestClient) -> None:
    found = panel(client, "predictions")
    assert found["preview_type"] == "TablePreview"
    assert found["preview"]["data"] == [["cat", "0.1235", "0.5, 1"], ["dog", "1", "0.5, 1"]]


def test_curves_and_accuracies_are_plots_without_what_is_missing(client: TestClient) -> None:
    loss, accuracy = (panel(client, name) for name in ("finetuning_metrics", "accuracy_by_length"))
    assert loss["preview_type"] == accuracy["preview_type"] == "PlotlyPreview"
    assert loss["preview"]["data"] == [{"mode": "lines+markers", "x": [50, 100], "y": [21.78192626953125, None]}]
    (bars,) = accuracy["preview"]["data"]
    assert (bars["type"], bars["x"], bars["y"]) == ("bar", ["3", "≥16"], [50.0, None])
    assert (bars["error_y"]["array"], bars["error_y"]["arrayminus"]) == ([10.0, None], [10.0, None])


def test_recognizer_says_its_size_its_recipe_and_its_scores(client: TestClient, project: Path) -> None:
    found = panel(client, "recognizer")
    assert found["preview_type"] == "JSONPreview"
    preview = json.loads(found["preview"])
    assert preview["scores"] == {"waics_percent": 90.5}
    assert preview["recipe"] == {"variant": "lmim"}
    weights = load_file(project / READY / "model.safetensors").values()
    assert preview["size"] == {"parameters": sum(weight.size for weight in weights), "megabytes": 1.4}
    assert preview["config"]["kind"] == "recognizer"


def test_page_is_shown_without_its_style_and_is_no_markdown(client: TestClient) -> None:
    found = panel(client, "report")
    assert (found["preview_type"], found["preview"]) == ("HTMLPreview", "<h1>convˍtiny</h1> <p>words</p>")


@pytest.mark.parametrize("dataset", ["benchmarks.crops", "views.store"])
def test_stores_are_shown_as_pictures_and_empty_ones_too(client: TestClient, dataset: str) -> None:
    found = panel(client, dataset)
    assert found["preview_type"] == "ImagePreview"
    assert base64.b64decode(found["preview"]).startswith(b"\x89PNG")


def test_arrays_are_listed(client: TestClient) -> None:
    assert panel(client, "attention")["preview"]["data"] == [["maps", "2, 3", "float64"]]


def test_what_is_not_made_yet_has_no_preview(client: TestClient) -> None:
    assert "preview" not in panel(client, "encoder")
