"""The finetune stage from labeled crops to a recognizer, with and without a pre-trained encoder."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from kedro_datasets.json import JSONDataset

from lmim_kedro import open_source, prepare
from lmim_kedro.datasets.models import ModelDataset
from lmim_kedro.datasets.path import PathDataset
from lmim_kedro.errors import InputError
from lmim_kedro.files import sha256
from lmim_kedro.hooks import RunHooks, require_named_files
from lmim_kedro.params import IngestParams, TrainingParams
from lmim_kedro.pipeline_registry import register_pipelines
from lmim_kedro.recipe import Recipe
from lmim_kedro.training import loop
from lmim_kedro.training.loop import Interrupted

READY = {"model": "conv_tiny", "finetuning.start": "ready"}


def parameters(project: Path, **given: Any) -> dict[str, Any]:
    """Parameters of the environment `sample`, and some of a run."""
    bootstrap_project(project)
    nested: dict[str, Any] = {"finetuning": {"optimization": {"steps": 3, "warmup_steps": 1, "batch_size": 4}}}
    for name, value in given.items():
        *groups, last = name.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    with KedroSession.create(project, runtime_params=nested, save_on_close=False) as session:
        return session.load_context().catalog["parameters"].load()


@pytest.fixture
def catalog(project: Path, tmp_path: Path):
    """A catalog of the stage in which nothing has been pre-trained."""

    def make(**given: Any) -> DataCatalog:
        found = parameters(project, **given)
        absent = {"encoder": "lmim_kedro.datasets.models.ModelDataset", "pretraining_recipe": "json.JSONDataset"}
        more = {"encoder": {"kind": "encoder"}}
        made = DataCatalog.from_config(
            {
                name: {"type": kind, "filepath": str(tmp_path / name), **more.get(name, {})}
                for name, kind in absent.items()
            }
        )
        words = open_source("words", {"format": "rendered", "words": 12, "split": "finetuning"})
        crops = prepare([words], IngestParams(workers=1), tmp_path / "crops", need_labels=True)
        made["finetuning.crops"] = MemoryDataset(crops)
        made["parameters"] = MemoryDataset(found)
        made["params:env"] = MemoryDataset("sample")
        made["params:recipe"] = MemoryDataset(Recipe.model_validate(found["recipe"]))
        made["params:training"] = MemoryDataset(TrainingParams(device="cpu", threads=1, log_every=1))
        made["params:card"] = MemoryDataset(found["card"])
        made["training_state"] = PathDataset(filepath=str(tmp_path / "state"))
        made["recipe"] = JSONDataset(filepath=str(tmp_path / "recipe.json"))
        made["recognizer"] = ModelDataset(filepath=str(tmp_path / "recognizer"), kind="recognizer")
        for name in ("model_card", "finetuning_metrics"):
            made[name] = MemoryDataset(copy_mode="assign")
        return made

    return make


RUN = {"project_path": "/", "env": None, "runtime_params": {}}


def test_a_run_that_starts_from_the_ready_reader_needs_no_pretraining(catalog: Any) -> None:
    made = catalog(**READY, **{"ingest.rotate_tall": 2})
    pipeline = register_pipelines()["finetune"]  # as a run has it, with the namespace of the stage
    RunHooks().before_pipeline_run(RUN, pipeline, made)
    SequentialRunner().run(pipeline, made)
    recognizer, metrics = made["recognizer"].load(), made["finetuning_metrics"].load()
    assert isinstance(metrics, pd.DataFrame) and metrics["step"].tolist() == [1, 2, 3]
    assert (recognizer.decoder_name, len(recognizer.charset)) == ("ctc", 36)
    assert recognizer.rotate_tall == made["recipe"].load()["rotate_tall"] == 2  # a reader prepares crops as ingest did
    recipe = made["recipe"].load()
    assert (recipe["finetuning"]["start"], recipe["pretraining"]["method"]) == ("ready", "none")
    assert recipe["sha256"] == recognizer.origin.sha256 == sha256(made["recognizer"].path / "model.safetensors")
    assert "It has not been scored yet" in made["model_card"].load() and "| words" in made["model_card"].load()
    # The ready reader reads rendered words: a model that begins at random has a loss of some 90.
    assert metrics["loss"].iloc[0] < 10


def test_a_run_that_is_stopped_leaves_the_recipe_of_the_model_that_stays(
    catalog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = register_pipelines()["finetune"]
    made = catalog(**READY)
    RunHooks().before_pipeline_run(RUN, pipeline, made)
    SequentialRunner().run(pipeline, made)
    before = made["recipe"].load()
    shorter = catalog(**READY, **{"finetuning.optimization.steps": 2})
    RunHooks().before_pipeline_run(RUN, pipeline, shorter)
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr(loop._Run, "_asked_to_stop", lambda run, stop: run.done == 1)
        SequentialRunner().run(pipeline, shorter)
    assert shorter["recipe"].load() == before and before["finetuning"]["optimization"]["steps"] == 3
    assert shorter["recognizer"].load().origin.sha256 == before["sha256"]


def test_without_a_recognizer_to_start_from_pretraining_is_asked_for(catalog: Any) -> None:
    with pytest.raises(InputError, match='"encoder" at .* are not there yet: run `kedro run .*--pipelines=pretrain'):
        RunHooks().before_pipeline_run(RUN, register_pipelines()["finetune"], catalog(model="conv_tiny"))


def test_what_other_steps_of_the_run_read_of_pretraining_is_asked_for(catalog: Any) -> None:
    pipelines = register_pipelines()
    whole = pipelines["finetune"] + pipelines["evaluate"].only_nodes("evaluate.look")
    made = catalog(**READY)
    made["benchmarks.crops"] = MemoryDataset([])
    with pytest.raises(InputError, match='"encoder" at .* is not there yet'):
        RunHooks().before_pipeline_run(RUN, whole, made)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"finetuning.start": "ready", "model": "conv_small"},
            "^the encoder of ready has other sizes .* set `model: conv_tiny`",
        ),
        (READY | {"finetuning.start": "reddy"}, "`finetuning.start`: there is no checkpoint at reddy: check the path"),
        (READY | {"finetuning.decoder": "autoregressive"}, "decoder 'ctc', but .*: set finetuning.decoder to ctc"),
    ],
)
@pytest.mark.parametrize("steps", [{"finetune"}, {"pretrain", "finetune"}])
def test_a_start_that_does_not_fit_is_refused_before_anything_runs(
    steps: set[str], given: dict[str, str], sentence: str, project: Path
) -> None:
    found = parameters(project, **given)
    made = DataCatalog({"parameters": MemoryDataset(found)})
    made["params:recipe"] = MemoryDataset(Recipe.model_validate(found["recipe"]))
    with pytest.raises(InputError, match=sentence):
        require_named_files(steps, made)
