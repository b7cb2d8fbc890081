"""The ingest stage from the catalog's sources to stores, manifests and summaries; and what each environment names."""

import logging
import typing
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml
from huggingface_hub import DatasetCard
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.runner import SequentialRunner
from kedro_datasets.pandas import CSVDataset
from kedro_datasets.text import TextDataset

from lmim_kedro.datasets.crop_sources import CropSources
from lmim_kedro.datasets.manifest import ManifestDataset
from lmim_kedro.datasets.packed_store import PackedStoreDataset
from lmim_kedro.datasets.path import PathDataset
from lmim_kedro.errors import InputError
from lmim_kedro.params import CardParams, FinetuningParams, IngestParams, ModelParams
from lmim_kedro.pipelines.ingest import create_pipeline
from lmim_kedro.recipe import Recipe

CONF = Path(__file__).parents[2] / "conf"
STAGES = ("pretraining", "finetuning", "benchmarks")


@pytest.fixture
def crops(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.png").write_bytes(drawn(number))
    (folder / "gt.txt").write_text("0.png\tzero\n1.png\tone\n2.png\ttwo\n9.png\tgone\n")
    (folder / "scored.txt").write_text("3.png\tthree\n4.png\tfour\n2.png\ttwo!\n8.png\tgone\n")
    return str(folder)


def drawn(number):
    noise = np.random.default_rng(number).integers(0, 256, (5, 15, 3), np.uint8)
    return cv2.imencode(".png", cv2.resize(noise, (60, 20)))[1].tobytes()


def catalog(tmp_path, specs, ingest=IngestParams(workers=1)):  # noqa: B008
    """The catalog's dataset types, in a folder of the test."""
    words = FinetuningParams.model_construct(charset="english_36", decoder="autoregressive", max_length=4)
    recipe = Recipe.model_construct(model=ModelParams(), finetuning=words, seed=0)
    entries = {"params:ingest": MemoryDataset(ingest), "params:recipe": MemoryDataset(recipe)}
    card = CardParams(license="unknown", data_license="cc-by-4.0", languages=("en",))
    entries["params:card"] = MemoryDataset(card)
    entries["data_card"] = CSVDataset(filepath=str(tmp_path / "card.csv"), save_args={"index": False})
    for stage, spec in specs.items():
        entries[f"{stage}.sources"] = CropSources(sources={"words": spec})
        trained = stage != "benchmarks"
        entries[f"{stage}.leaks"] = CSVDataset(filepath=str(tmp_path / stage / "leaks.csv"), save_args={"index": False})
        entries[f"{stage}.crops_folder"] = PathDataset(filepath=str(tmp_path / stage / "crops"))
        entries[f"{stage}.packed"] = PackedStoreDataset(filepath=str(tmp_path / stage / "crops"), whole=True)
        entries[f"{stage}.crops"] = PackedStoreDataset(filepath=str(tmp_path / stage / "crops"), checked=trained)
        entries[f"{stage}.manifest"] = ManifestDataset(filepath=str(tmp_path / stage / "manifest.parquet"))
        entries[f"{stage}.summary"] = MemoryDataset()
        entries[f"{stage}.card"] = TextDataset(filepath=str(tmp_path / stage / "README.md"))
    return DataCatalog(entries)


def test_stage_takes_sources_and_gives_crops_manifest_and_summary_three_times():
    pipeline = create_pipeline()
    given = {f"{stage}.{name}" for stage in STAGES for name in ("sources", "crops_folder")}
    assert pipeline.inputs() == {"params:ingest", "params:recipe", "params:card"} | given
    made = {f"{stage}.{name}" for stage in STAGES for name in ("crops", "manifest", "summary", "duplicates", "card")}
    checked = {f"{stage}.{name}" for stage in STAGES[:2] for name in ("packed", "leaks", "leak_sheet", "clusters")}
    assert pipeline.all_outputs() == made | checked | {"data_card", "data_card_figure"}


def test_parameters_of_the_nodes_are_typed_for_kedros_check():
    for parameter, hint, count in (("ingest", IngestParams, 12), ("recipe", Recipe, 1)):
        nodes = [node for node in create_pipeline().nodes if f"params:{parameter}" in node.inputs]
        assert len(nodes) == count
        assert all(typing.get_type_hints(node.func)[parameter] is hint for node in nodes)


def test_run_makes_stores_manifests_and_a_summary_in_the_log(tmp_path, crops, caplog):
    data = catalog(tmp_path, every_use(crops))
    with caplog.at_level(logging.INFO):
        SequentialRunner().run(create_pipeline(), data)
    assert not data["pretraining.crops"].load().labeled
    assert data["finetuning.packed"].load().labels(range(3)) == ["zero", "one", "two"]
    assert data["finetuning.crops"].load().labels(range(2)) == ["zero", "one"]
    assert data["benchmarks.crops"].load().labels(range(3)) == ["three", "four", "two!"]
    for stage, reasons in zip(
        STAGES, ("1 leak, 1 missing file", "1 leak, 1 missing file", "1 missing file"), strict=True
    ):
        assert len(data[f"{stage}.manifest"].load()) == 4
        assert sorted(data[f"{stage}.summary"].load()["reasons"].item().split(", ")) == reasons.split(", ")
        card = DatasetCard(data[f"{stage}.card"].load())
        assert card.data.license == "cc-by-4.0" and f"# Packed word crops: {stage}\n" in card.text
    assert "words: tab-separated list of 4 crops with labels" in caplog.text
    assert "1 missing file" in caplog.text


def test_a_node_makes_its_store_before_the_catalog_saves_it(tmp_path, crops):
    (pack,) = create_pipeline().only_nodes("finetuning.pack_crops").nodes
    data = catalog(tmp_path, every_use(crops))
    (made,) = pack.run({name: data.load(name) for name in pack.inputs}).values()
    assert made.labels(range(3)) == ["zero", "one", "two"]
    assert made.path == tmp_path / "finetuning" / "crops"


def every_use(crops):
    """One crop, number 2, is both trained on and scored on."""
    trained = {"path": crops + "/gt.txt"}
    scored = {"path": crops + "/scored.txt"}
    return {"pretraining": trained | {"use_labels": False}, "finetuning": trained, "benchmarks": scored}


def test_run_leaves_crops_of_the_benchmark_out_of_training_and_says_so(tmp_path, crops, caplog):
    data = catalog(tmp_path, every_use(crops))
    with caplog.at_level(logging.INFO):
        SequentialRunner().run(create_pipeline(), data)
    for stage in STAGES[:2]:
        assert data[f"{stage}.leaks"].load()[["key", "benchmark_key", "match"]].to_numpy().tolist() == [
            ["2.png", "2.png", "exact"]
        ]
        rows = data[f"{stage}.manifest"].load().set_index("key")
        assert rows.loc["2.png", ["status", "reason"]].tolist() == ["excluded", "leak: exact copy of words 2.png"]
    card = data["data_card"].load()
    assert card["use"].tolist() == list(STAGES)
    assert card["leaks_exact"].tolist() == [1, 1, 1]
    assert card[["labels_too_long", "labels_outside"]].to_numpy().tolist() == [[0, 0], [1, 0], [3, 1]]
    assert "a benchmark's: 1 exact copies and 0 near ones, left out of training" in caplog.text


def test_a_charset_from_the_labels_is_what_the_data_card_checks_labels_against(tmp_path, crops):
    data = catalog(tmp_path, every_use(crops))
    recipe = data["params:recipe"].load()
    words = recipe.finetuning.model_copy(update={"charset": "from_labels", "max_length": 5})
    data["params:recipe"] = MemoryDataset(recipe.model_copy(update={"finetuning": words}))
    SequentialRunner().run(create_pipeline(), data)
    card = data["data_card"].load().set_index("use")
    assert card["labels_outside"].to_dict() == {"pretraining": 0, "finetuning": 0, "benchmarks": 3}
    assert card.loc["benchmarks", "outside"].startswith("t 2, ")  # of three, four and two!; trained on zero and one


def test_a_label_is_too_long_for_the_decoder_that_is_to_learn_it(tmp_path, crops):
    data = catalog(tmp_path, every_use(crops))
    recipe = data["params:recipe"].load()
    ctc = recipe.finetuning.model_copy(update={"decoder": "ctc"})  # needs no step for an end symbol
    data["params:recipe"] = MemoryDataset(recipe.model_copy(update={"finetuning": ctc}))
    SequentialRunner().run(create_pipeline(), data)
    assert data["data_card"].load()["labels_too_long"].tolist() == [0, 0, 1]


def test_run_without_exclusion_gives_all_crops_to_training(tmp_path, crops):
    data = catalog(tmp_path, every_use(crops), IngestParams(workers=1, leaks="report"))
    SequentialRunner().run(create_pipeline(), data)
    assert len(data["pretraining.crops"].load()) == 3
    assert len(data["pretraining.leaks"].load()) == 1
    assert set(data["pretraining.manifest"].load()["status"]) == {"ok", "set aside"}


def test_tables_of_the_checks_come_back_from_their_files_as_they_were(tmp_path, crops):
    """Keys may look like numbers, and sources like missing values."""
    entries = yaml.safe_load((CONF / "base" / "catalog_ingest.yml").read_text("utf-8"))
    table = pd.DataFrame(
        {"source": ["NA"], "key": ["007"], "benchmark": ["nan"], "benchmark_key": ["1"], "distance": [3]}
    )
    for name in ("leaks", "clusters"):
        entry = entries[f"{{use}}.{name}"]
        dataset = CSVDataset(
            filepath=str(tmp_path / "t.csv"), load_args=entry["load_args"], save_args=entry["save_args"]
        )
        written = table if name == "leaks" else table[["source", "key", "distance"]]
        dataset.save(written)
        pd.testing.assert_frame_equal(dataset.load(), written)


def test_store_that_was_not_checked_is_refused_by_the_stages_that_train(tmp_path, crops):
    specs = {"finetuning": {"path": crops + "/gt.txt"}}
    data = catalog(tmp_path, specs)
    SequentialRunner().run(create_pipeline().only_nodes("finetuning.pack_crops"), data)
    assert not data["finetuning.crops"].exists()
    with pytest.raises(DatasetError, match="was not checked .*kedro run --pipelines=ingest"):
        data["finetuning.crops"].load()


def test_benchmark_without_labels_is_refused(tmp_path, crops):
    data = catalog(tmp_path, {"benchmarks": {"path": crops + "/gt.txt", "use_labels": False}})
    with pytest.raises(InputError, match="labels are needed here, but words has none"):
        SequentialRunner().run(create_pipeline().only_nodes_with_namespaces(["benchmarks"]), data)


@pytest.mark.parametrize("env", ["sample", "mini", "union14m", "chinese"])
def test_each_environment_names_its_sources(env):
    entries = yaml.safe_load((CONF / env / "catalog_ingest.yml").read_text("utf-8"))
    assert set(entries) == {f"{stage}.sources" for stage in STAGES}
    for entry in entries.values():
        assert entry["type"] == f"{CropSources.__module__}.{CropSources.__name__}"
        assert entry["sources"]
        for spec in entry["sources"].values():
            assert spec.get("format") == "rendered" or spec["path"].startswith("data/01_raw/")


@pytest.mark.parametrize("env", ["sample", "mini", "union14m", "chinese"])
def test_no_environment_trains_on_what_it_is_scored_on(env):
    entries = yaml.safe_load((CONF / env / "catalog_ingest.yml").read_text("utf-8"))

    def places(stage):
        specs = entries[f"{stage}.sources"]["sources"].values()
        return {spec.get("path") or spec["split"] for spec in specs}

    assert not places("benchmarks") & (places("pretraining") | places("finetuning"))


def test_union14m_is_scored_on_the_six_common_benchmarks_and_the_seven_subsets():
    entries = yaml.safe_load((CONF / "union14m" / "catalog_ingest.yml").read_text("utf-8"))
    common = {"iiit5k", "svt", "ic13_1015", "ic15_2077", "svtp", "cute80"}
    subsets = {"curve", "multi_oriented", "artistic", "contextless", "salient", "multi_words", "general"}
    assert set(entries["benchmarks.sources"]["sources"]) == common | subsets
