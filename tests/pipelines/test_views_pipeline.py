"""The views stage from a packed store to policy, sheet, statistics and, where asked for, a store of views."""

import base64
import io
import typing
from copy import copy

import cv2
import numpy as np
import pytest
import torch
import yaml
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.runner import SequentialRunner
from kedro_datasets.json import JSONDataset
from kedro_datasets.pandas import CSVDataset
from PIL import Image

from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.pixels import decode_batch
from lmim_kedro.crops.randomness import derive_seed
from lmim_kedro.crops.sheets import contact_sheet
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.datasets.images import PngDataset
from lmim_kedro.datasets.packed_store import PackedStoreDataset
from lmim_kedro.datasets.path import PathDataset
from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams, ModelParams, Parameters, ViewPreset, ViewsParams
from lmim_kedro.pipelines.views import create_pipeline
from lmim_kedro.pipelines.views.nodes import resolve_views
from lmim_kedro.recipe import Recipe, resolve_recipe
from lmim_kedro.views.augmentations import finetuning_augmentation
from lmim_kedro.views.guidance import GuidanceViews
from lmim_kedro.views.materialize import ViewStorePlan
from lmim_kedro.views.show import show_augmentation

OUTPUTS = {"views.policy", "views.sheet", "views.statistics", "views.augmentation_sheet", "views.store"}


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(5):
        image = np.random.default_rng(number).integers(0, 256, (16, 20 + 20 * number, 3), dtype=np.uint8)
        (folder / f"{number}.png").write_bytes(cv2.imencode(".png", cv2.GaussianBlur(image, (0, 0), 2))[1].tobytes())
    source = open_source("words", {"path": str(folder)})
    return prepare([source], IngestParams(workers=1), tmp_path / "crops", need_labels=False)


@pytest.fixture
def parameters(project):
    merged = {}
    for file in sorted((project / "conf" / "base").glob("[!c]*.yml")):
        merged |= yaml.safe_load(file.read_text("utf-8"))
    merged["views"] |= {"sheet_crops": 3, "sheet_views": 2}
    return merged


@pytest.fixture
def run(store, parameters, tmp_path):
    def once():
        catalog = DataCatalog(
            {
                "pretraining.crops": MemoryDataset(store, copy_mode="assign"),
                "finetuning.crops": MemoryDataset(store, copy_mode="assign"),
                "params:views": MemoryDataset(ViewsParams(**parameters["views"])),
                "params:recipe": MemoryDataset(resolve_recipe(parameters)),
                "params:ingest": MemoryDataset(IngestParams(**parameters["ingest"])),
                "views.policy": JSONDataset(filepath=str(tmp_path / "feature" / "policy.json")),
                "views.sheet": PngDataset(filepath=str(tmp_path / "feature" / "sheet.png")),
                "views.statistics": CSVDataset(filepath=str(tmp_path / "feature" / "statistics.csv")),
                "views.augmentation_sheet": PngDataset(filepath=str(tmp_path / "feature" / "augmentation_sheet.png")),
                "views.store_folder": PathDataset(filepath=str(tmp_path / "feature" / "store")),
                "views.store": PackedStoreDataset(filepath=str(tmp_path / "feature" / "store")),
            }
        )
        SequentialRunner().run(create_pipeline(), catalog)
        return {name: catalog.load(name) for name in OUTPUTS}

    return once


def test_stage_takes_crops_and_gives_policy_sheet_statistics_and_store():
    pipeline = create_pipeline()
    crops = {"pretraining.crops", "finetuning.crops"}
    assert pipeline.inputs() == crops | {"params:views", "params:recipe", "params:ingest", "views.store_folder"}
    assert pipeline.all_outputs() == OUTPUTS
    assert typing.get_type_hints(resolve_views)["recipe"] is Recipe


def test_run_shows_the_preset_that_was_asked_for(run, parameters):
    parameters["views"]["preset"] = "weak"
    made = run()
    assert ViewPreset(**made["views.policy"]) == ViewPreset(**parameters["view_presets"]["weak"])
    assert made["views.sheet"].ndim == 3 and made["views.sheet"].std() > 0
    assert made["views.statistics"]["operation"].tolist() == ["all", "crop_vertical", "crop_horizontal", "rotate"]
    assert len(made["views.store"]) == 0


@pytest.mark.parametrize("augmentation", ["abinet", "parseq", "none"])
def test_augmentation_sheet_shows_what_finetuning_sees(store, parameters, augmentation):
    chosen = Parameters.model_validate(parameters)
    finetuning = chosen.finetuning.model_copy(update={"augmentation": augmentation})
    size = ModelParams()
    index = np.array([0, 1, 3])
    images, aspect = decode_batch(store.fetch(index), 32, 128)
    given = torch.from_numpy(images)
    augment = finetuning_augmentation(finetuning, size)
    seed = derive_seed(7, "fine-tuning", 0)
    seen = [
        given / 255
        if augment is None
        else augment(given, torch.from_numpy(aspect), seed=seed, epoch=epoch, index=index)
        for epoch in range(2)
    ]
    wanted = contact_sheet(images, torch.stack(seen, 1).numpy(), aspect)
    assert np.array_equal(show_augmentation(store, finetuning, size, chosen.views, seed=7), wanted)


def test_augmentation_sheet_of_no_labeled_crops_is_empty(parameters):
    chosen = Parameters.model_validate(parameters)
    sheet = show_augmentation([], chosen.finetuning, ModelParams(), chosen.views, seed=0)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3 and (sheet == 255).all()


def test_a_preset_that_is_not_defined_is_refused_with_a_close_one(parameters):
    parameters["views"]["preset"] = "stong"
    with pytest.raises(InputError, match=r"'stong'.*did you mean `strong`.*medium, strong, weak"):
        resolve_recipe(parameters)


def test_materialized_views_are_those_that_would_be_drawn(run, parameters, store):
    parameters["views"]["materialize"] = 2
    made = run()["views.store"]
    assert len(made) == 10 and not made.labeled
    assert [(source.name, source.start, source.stop) for source in made.sources] == [
        ("view 0", 0, 5),
        ("view 1", 5, 10),
    ]
    index = np.arange(5)
    images, aspect = decode_batch(store.fetch(index), 32, 128)
    draw = GuidanceViews(ViewPreset(**parameters["view_presets"]["medium"]))
    for epoch in range(2):
        wanted = draw(torch.from_numpy(images), torch.from_numpy(aspect), seed=0, epoch=epoch, index=index)
        found, _ = decode_batch(made.fetch(index + 5 * epoch), 32, 128)
        assert np.abs(found / 255 - wanted.numpy()).max() <= 0.5 / 255 + 1e-6


def test_a_store_of_views_is_kept_when_nothing_changed_and_made_anew_when_something_did(plan_with, tmp_path):
    folder = tmp_path / "views"
    first = plan_with(seed=0).write(folder)
    written = [(shard.folder / "data.mdb").stat().st_mtime_ns for shard in first.shards]
    assert len(first.shards) == 3
    second = plan_with(seed=0).write(folder)
    assert [(shard.folder / "data.mdb").stat().st_mtime_ns for shard in second.shards] == written
    before = first.fetch([0])
    assert plan_with(seed=1).write(folder).fetch([0]) != before


@pytest.mark.parametrize("seed", [0, 1])
def test_a_store_of_views_that_is_not_made_whole_cannot_be_read(seed, plan_with, tmp_path, monkeypatch):
    plan_with(seed=0).write(tmp_path)

    def stop(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(ViewStorePlan, "_write_shard", stop)
    with pytest.raises(KeyboardInterrupt):
        plan_with(seed=seed).write(tmp_path)
    if seed == 0:
        assert len(PackedStore(tmp_path)) == 5  # nothing changed, so it is whole already
    else:
        with pytest.raises(InputError, match="no packed store"):
            PackedStore(tmp_path)


@pytest.mark.parametrize("change", ["crops", "preset", "seed"])
def test_views_of_other_crops_another_preset_or_seed_are_refused(change, plan_with, tmp_path):
    """View 3 is that of crop 3: of another store, it would be another word's."""
    plan = plan_with(seed=0)
    views = plan.write(tmp_path / "views")
    crops, preset = copy(plan.crops), plan.preset
    ViewStorePlan(crops, preset, 1, 32, 128, 0).require(views)
    if change == "crops":
        crops.fingerprint = "another"
    if change == "preset":
        preset = preset.model_copy(update={"pick": (0, 1)})
    with pytest.raises(InputError, match="kedro run --pipelines=views"):
        ViewStorePlan(crops, preset, 1, 32, 128, 1 if change == "seed" else 0).require(views)


@pytest.mark.parametrize("wanted", [0, 2])
def test_another_number_of_views_than_was_asked_for_is_refused(wanted, plan_with, tmp_path):
    plan = plan_with(seed=0)
    views = plan.write(tmp_path / "views")
    with pytest.raises(InputError, match=rf"holds 5 guidance views, and not {wanted} of each of 5 crops"):
        ViewStorePlan(plan.crops, plan.preset, wanted, 32, 128, 0).require(views)


@pytest.fixture
def plan_with(store):
    preset = ViewPreset(pick=(1, 1), contrast=(0.5, 1.0))

    def plan(seed):
        return ViewStorePlan(store, preset, views=1, height=32, width=128, seed=seed, shard_crops=2)

    return plan


def test_preview_of_the_sheet_is_the_sheet(run, tmp_path):
    sheet = run()["views.sheet"]
    shown = PngDataset(filepath=str(tmp_path / "feature" / "sheet.png")).preview()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(shown)))), sheet)


def test_a_picture_of_another_shape_or_type_is_refused(tmp_path):
    dataset = PngDataset(filepath=str(tmp_path / "a.png"))
    with pytest.raises(DatasetError, match=r"\(H, W, 3\) uint8, not one of \(4, 4\) uint8"):
        dataset.save(np.zeros((4, 4), np.uint8))
    assert not dataset.exists()
