"""A round of self-training on rendered words: what is read, what becomes a label, and what is trained on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from kedro_datasets.json import JSONDataset

from lmim_kedro import open_source, prepare
from lmim_kedro.crops.sources.source import Source
from lmim_kedro.crops.store.packed import PackedStore, exclude
from lmim_kedro.datasets.models import ModelDataset
from lmim_kedro.datasets.packed_store import PackedStoreDataset
from lmim_kedro.datasets.path import PathDataset, WrittenDataset
from lmim_kedro.datasets.tables import ParquetTable
from lmim_kedro.errors import InputError
from lmim_kedro.hooks import RunHooks, require_named_files
from lmim_kedro.models.folder import READY
from lmim_kedro.params import CardParams, IngestParams, SelftrainParams, TrainingParams
from lmim_kedro.pipeline_registry import register_pipelines
from lmim_kedro.recipe import Recipe
from lmim_kedro.reporting.recipe_in_words import recipe_in_words
from lmim_kedro.training import loop
from lmim_kedro.training.jobs import Job
from lmim_kedro.training.selftraining import choose_labels, unlabeled_places

LABELED, UNLABELED = 12, 24
GIVEN: dict[str, Any] = {
    "variant": "selftrain",
    "model": "conv_tiny",
    "finetuning": {"start": "ready", "optimization": {"steps": 6, "warmup_steps": 1, "batch_size": 4}},
    "selftrain": {"min_confidence": 0.5, "ratio": 0.5},
}


def words(count: int, seed: int = 0, name: str = "words") -> Source:
    return open_source(
        name, {"format": "rendered", "words": count, "seed": seed, "split": "finetuning", "styles": {"easy": {}}}
    )


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[PackedStore, PackedStore]:
    """Unlabeled crops, among them all labeled ones, without two that are a benchmark's; and labeled crops."""
    folder = tmp_path_factory.mktemp("stores")
    labeled = prepare([words(LABELED)], IngestParams(workers=1), folder / "labeled", need_labels=True)
    sources = [words(LABELED, name="copies"), words(UNLABELED, 1, "street")]
    unlabeled = prepare(sources, IngestParams(workers=1), folder / "unlabeled", need_labels=False)
    left_out = pd.DataFrame({"store_index": [0, LABELED + 3], "reason": "leak"})
    return exclude(unlabeled, left_out), labeled


def parameters(project: Path, **more: Any) -> dict[str, Any]:
    bootstrap_project(project)
    given = {name: dict(group) if isinstance(group, dict) else group for name, group in GIVEN.items()}
    for name, value in more.items():
        given[name] = given.get(name, {}) | value if isinstance(value, dict) else value
    with KedroSession.create(project, runtime_params=given, save_on_close=False) as session:
        found: dict[str, Any] = session.load_context().catalog["parameters"].load()
    return found


@pytest.fixture
def catalog(project: Path, stores: tuple[PackedStore, PackedStore], tmp_path: Path) -> Callable[..., DataCatalog]:
    def make(**given: Any) -> DataCatalog:
        found = parameters(project, **given)
        made = DataCatalog.from_config({"pretraining_recipe": {"type": "json.JSONDataset", "filepath": "absent"}})
        made["encoder"] = ModelDataset(filepath=str(tmp_path / "encoder"), kind="encoder")
        made["pretraining.crops"], made["finetuning.crops"] = map(MemoryDataset, stores)
        made["parameters"] = MemoryDataset(found)
        made["params:env"] = MemoryDataset("sample")
        made["params:recipe"] = MemoryDataset(Recipe.model_validate(found["recipe"]))
        made["params:selftrain"] = MemoryDataset(SelftrainParams.model_validate(found["selftrain"]))
        made["params:training"] = MemoryDataset(TrainingParams(device="cpu", threads=1, log_every=1))
        made["params:ingest"] = MemoryDataset(IngestParams(workers=1))
        made["training_state"] = PathDataset(filepath=str(tmp_path / "state"))
        for name in ("recipe", "selftrain.facts"):
            made[name] = JSONDataset(filepath=str(tmp_path / f"{name}.json"))
        made["selftrain.readings"] = ParquetTable(filepath=str(tmp_path / "readings.parquet"))
        made["selftrain.labels_file"] = PathDataset(filepath=str(tmp_path / "labels.parquet"))
        made["selftrain.labels"] = WrittenDataset(filepath=str(tmp_path / "labels.parquet"))
        made["selftrain.crops_folder"] = PathDataset(filepath=str(tmp_path / "crops"))
        made["selftrain.crops"] = PackedStoreDataset(filepath=str(tmp_path / "crops"))
        made["recognizer"] = ModelDataset(filepath=str(tmp_path / "recognizer"), kind="recognizer")
        made["finetuning_metrics"], made["model_card"] = MemoryDataset(), MemoryDataset()
        made["params:card"] = MemoryDataset(CardParams.model_validate(found["card"]))
        return made

    return make


def test_a_round_reads_labels_and_trains_on_both(
    catalog: Any, stores: tuple[PackedStore, PackedStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    step = loop._Run._step
    monkeypatch.setattr(
        loop._Run, "_step", lambda run, batch, *more: seen.extend(batch.index.tolist()) or step(run, batch, *more)
    )
    made, (unlabeled, _) = catalog(), stores
    pipeline = register_pipelines()["selftrain"].filter(node_namespaces=["selftrain"])
    run = {"project_path": "/", "env": None, "runtime_params": {}}
    RunHooks().before_pipeline_run(run, pipeline, made)
    SequentialRunner().run(pipeline, made)

    readings, facts = made["selftrain.readings"].load(), made["selftrain.facts"].load()
    assert set(readings["benchmark"]) == {"street"} and len(readings) == UNLABELED - 1  # no copies, no leak
    sure = readings[readings["confidence"] >= 0.5]
    assert 3 < len(sure) < len(readings)  # the bound parts them
    assert facts["recognizer"] == "ready" and facts["min_confidence"] == 0.5
    assert (facts["unlabeled"], facts["read"], facts["kept"]) == (len(unlabeled), len(readings), len(sure))
    assert facts["texts"] == sure["prediction"].nunique()
    assert facts["sources"] == {"street": {"read": len(readings), "kept": len(sure)}}

    listed = open_source("pseudo", {"path": str(tmp_path / "labels.parquet")})
    crops = list(listed.read(0, len(listed)))
    assert [crop.label for crop in crops] == sure["prediction"].tolist()
    assert [crop.data for crop in crops] == unlabeled.fetch(sure["index"].tolist())
    surer = open_source("pseudo", {"path": str(tmp_path / "labels.parquet"), "min_confidence": 0.99})
    unsure = [crop for crop in surer.read(0, len(surer)) if crop.reason]
    assert len(unsure) == (sure["confidence"] < 0.99).sum() > 0
    assert made["selftrain.crops"].load().labels(range(len(sure))) == sure["prediction"].tolist()

    # An epoch has two crops of these for each four labeled ones: 12 and 6, of which 16 fill batches.
    assert len(seen) == 24 and set(seen) <= set(range(LABELED + len(sure)))
    assert 4 <= sum(place >= LABELED for place in seen) <= 10
    recipe = made["recipe"].load()
    assert recipe["selftrain"]["recognizer"] == "ready" and recipe["variant"] == "selftrain"
    told = dict(dict(recipe_in_words(recipe, {}))["Fine-tuning reference"])
    assert told["Pseudo-labels"].startswith("readings by the ready reader with a confidence of 0.5 or more; 0.5 in")
    config = json.loads((tmp_path / "recognizer" / "config.json").read_text())
    assert config["labels"]["pseudo_labeled"] == len(sure) and config["labels"]["usable"] == LABELED
    assert made["finetuning_metrics"].load()["step"].tolist() == [1, 2, 3, 4, 5, 6]


def test_crops_whose_labels_are_not_in_use_are_unlabeled(
    project: Path, stores: tuple[PackedStore, PackedStore]
) -> None:
    unlabeled, labeled = stores
    recipe = Recipe.model_validate(parameters(project)["recipe"])
    some = recipe.model_copy(update={"finetuning": recipe.finetuning.model_copy(update={"label_share": 0.25})})
    all_places, places = unlabeled_places(unlabeled, labeled, recipe), unlabeled_places(unlabeled, labeled, some)
    assert len(all_places) == UNLABELED - 1
    copies = places[places < LABELED - 1]
    assert set(all_places) < set(places) and len(copies) in (LABELED - 3, LABELED - 4)  # one copy is a leak
    assert unlabeled_places(unlabeled, labeled, some, ("copies",)).tolist() == copies.tolist()
    with pytest.raises(InputError, match="all 11 unlabeled crops of .* look like labeled ones: name crops without"):
        unlabeled_places(unlabeled, labeled, recipe, ("copies",))
    with pytest.raises(InputError, match=r"names 'steet' .did you mean `street`.*are copies, street: name some"):
        unlabeled_places(unlabeled, labeled, recipe, ("steet",))


def test_a_job_tells_other_processes_of_its_pseudo_labeled_crops(
    project: Path, stores: tuple[PackedStore, PackedStore], tmp_path: Path
) -> None:
    unlabeled, labeled = stores
    recipe = Recipe.model_validate(parameters(project)["recipe"])
    job = Job("fine-tuning", labeled, recipe, TrainingParams(), tmp_path, pseudo=unlabeled)
    job.write(tmp_path / "job.json")
    read = Job.read(tmp_path / "job.json")
    assert read.pseudo is not None and read.pseudo.fingerprint == unlabeled.fingerprint and read.views is None
    without = Job("fine-tuning", labeled, recipe, TrainingParams(), tmp_path)
    assert read.folder.recipe == job.folder.recipe != without.folder.recipe


def test_no_sure_reading_is_a_sentence() -> None:
    readings = pd.DataFrame({"prediction": ["a", ""], "confidence": [0.25, 1.0]})
    with pytest.raises(InputError, match=r"none of 2 readings .* of 0.9 or more \(the surest has 0.2500\): lower"):
        choose_labels(readings, 0.9)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"finetuning": {"start": None}}, "`selftrain.recognizer` is null, and so is `finetuning.start`: name the"),
        ({"selftrain": {"recognizer": "absent"}}, "`selftrain.recognizer`: absent holds no config.json"),
    ],
)
def test_what_reads_is_asked_for_before_anything_runs(given: Any, sentence: str, catalog: Any) -> None:
    with pytest.raises(InputError, match=sentence):
        require_named_files({"read_unlabeled", "finetune"}, catalog(**given))


def test_a_run_does_not_write_over_the_recognizer_that_reads(catalog: Any) -> None:
    made = catalog()
    made["recognizer"] = ModelDataset(filepath=str(READY / "recognizer"), kind="recognizer")
    with pytest.raises(InputError, match="this run would write over it: give the run a variant of its own"):
        require_named_files({"read_unlabeled", "finetune"}, made)


def test_the_pipeline_is_the_default_with_selftrain_for_finetune() -> None:
    pipelines = register_pipelines()
    stages = {str(node.namespace).split(".")[0] for node in pipelines["selftrain"].nodes}
    assert stages == {"views", "pretrain", "selftrain", "evaluate", "report"}
    assert pipelines["finetune"].all_outputs() <= pipelines["selftrain"].all_outputs()
    assert np.all([not name.startswith("selftrain") for name in pipelines["__default__"].datasets()])
