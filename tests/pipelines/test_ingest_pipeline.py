"""The ingest stage from the catalog's sources to stores, manifests and summaries; and what each environment names."""

import logging
import typing
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.runner import SequentialRunner

from lmim_kedro.datasets.crop_sources import CropSources
from lmim_kedro.datasets.manifest import ManifestDataset
from lmim_kedro.datasets.packed_store import PackedStoreDataset
from lmim_kedro.params import IngestParams
from lmim_kedro.pipelines.ingest import create_pipeline

CONF = Path(__file__).parents[2] / "conf"
STAGES = ("pretraining", "finetuning", "benchmarks")


@pytest.fixture
def crops(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(3):
        image = np.full((10, 30, 3), 80 * number, np.uint8)
        (folder / f"{number}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    (folder / "gt.txt").write_text("0.png\tzero\n1.png\tone\n2.png\ttwo\n9.png\tgone\n")
    return str(folder)


def catalog(tmp_path, specs):
    entries = {"params:ingest": MemoryDataset(IngestParams(workers=1))}
    for stage, spec in specs.items():
        entries[f"{stage}.sources"] = CropSources(sources={"words": spec})
        entries[f"{stage}.crops"] = PackedStoreDataset(filepath=str(tmp_path / stage / "crops"))
        entries[f"{stage}.manifest"] = ManifestDataset(filepath=str(tmp_path / stage / "manifest.parquet"))
        entries[f"{stage}.summary"] = MemoryDataset()
    return DataCatalog(entries)


def test_stage_takes_sources_and_gives_crops_manifest_and_summary_three_times():
    pipeline = create_pipeline()
    assert pipeline.inputs() == {"params:ingest", *(f"{stage}.sources" for stage in STAGES)}
    made = {f"{stage}.{name}" for stage in STAGES for name in ("crops", "manifest", "summary")}
    assert pipeline.all_outputs() == made


def test_parameters_of_the_nodes_are_typed_for_kedros_check():
    packing = [node for node in create_pipeline().nodes if "params:ingest" in node.inputs]
    assert len(packing) == 3
    assert all(typing.get_type_hints(node.func)["ingest"] is IngestParams for node in packing)


def test_run_makes_stores_manifests_and_a_summary_in_the_log(tmp_path, crops, caplog):
    data = catalog(
        tmp_path, {"pretraining": {"path": crops, "use_labels": False}} | dict.fromkeys(STAGES[1:], {"path": crops})
    )
    with caplog.at_level(logging.INFO):
        SequentialRunner().run(create_pipeline(), data)
    assert not data["pretraining.crops"].load().labelled
    for stage in STAGES[1:]:
        assert data[f"{stage}.crops"].load().labels(range(3)) == ["zero", "one", "two"]
        assert len(data[f"{stage}.manifest"].load()) == 4
        assert data[f"{stage}.summary"].load()["reasons"].tolist() == ["1 missing file"]
    assert "words: tab-separated list of 4 crops with labels" in caplog.text
    assert "1 missing file" in caplog.text


def test_benchmark_without_labels_is_refused(tmp_path, crops):
    data = catalog(tmp_path, {"benchmarks": {"path": crops, "use_labels": False}})
    with pytest.raises(DatasetError, match="labels are needed here, but words has none"):
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
