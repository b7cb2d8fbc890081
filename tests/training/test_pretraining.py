"""What a stage of pre-training is given, and what it refuses."""

import pytest
import torch

from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.params import FinetuningParams, IngestParams, ViewPreset
from lmim_kedro.recipe import Recipe
from lmim_kedro.registries import METHODS
from lmim_kedro.training import pretraining as stage
from lmim_kedro.views.materialize import ViewStorePlan


@pytest.fixture
def recipe(size, pretraining, optimization) -> Recipe:
    names = {"variant": "lmim", "env": "test", "seed": 0, "model_name": "tiny", "views_name": "none"}
    given = {
        "views": ViewPreset(pick=(1, 1), contrast=(0.3, 0.9)),
        "finetuning": FinetuningParams(optimization=optimization),
    }
    return Recipe(**names, **given, model=size, pretraining=pretraining)


@pytest.fixture
def jobs(monkeypatch):
    """The jobs that would have been trained."""
    found = []
    monkeypatch.setattr(stage, "train", lambda job, model: found.append(job) or (model, stage.no_metrics()))
    return found


def test_a_teacher_of_another_size_is_refused_where_it_is_needed(store, recipe, training, tmp_path, jobs):
    deeper = Encoder(recipe.model.model_copy(update={"depth": 3}))
    with pytest.raises(InputError, match=r"the teacher on disk has another depth .*`kedro run --pipelines=pretrain"):
        stage.pretrain(store, deeper, recipe, training, tmp_path)
    stage.pretrain(store, Encoder(recipe.model), recipe, training, tmp_path)
    mim = recipe.model_copy(update={"pretraining": recipe.pretraining.model_copy(update={"method": "mim"})})
    stage.pretrain(store, deeper, mim, training, tmp_path)
    assert [job.recipe.pretraining.method for job in jobs] == ["lmim", "mim"]


def test_views_are_read_from_their_store_only_if_materialized(recipe, training, tmp_path, jobs):
    words = open_source("words", {"format": "rendered", "words": 6, "seed": 1, "use_labels": False})
    crops = prepare([words], IngestParams(workers=1), tmp_path / "crops", need_labels=False)
    views = ViewStorePlan(crops, recipe.views, 2, 32, 128, recipe.seed, shard_crops=4).write(tmp_path / "views")
    given = crops, Encoder(recipe.model), recipe, training, tmp_path
    with pytest.raises(InputError, match="views.materialize is 2, but no store of views was given"):
        stage.pretrain(*given, None, 2)
    with pytest.raises(InputError, match="holds 12 guidance views, and not 3 of each of 6 crops"):
        stage.pretrain(*given, views, 3)
    stage.pretrain(*given, views, 2)
    stage.pretrain(*given, views, 0)
    assert [job.views for job in jobs] == [views, None]


def test_a_teacher_that_need_not_be_trained_is_an_encoder_with_the_weights_of_its_seed(
    store, recipe, training, tmp_path, jobs
):
    def made(seed: int) -> torch.Tensor:
        target = recipe.pretraining.model_copy(update={"target": "random_features"})
        asked = recipe.model_copy(update={"pretraining": target, "seed": seed})
        teacher, metrics = stage.make_teacher(store, asked, training, tmp_path)
        assert len(metrics) == 0
        return teacher.cls_token

    assert torch.equal(made(0), made(0)) and not torch.equal(made(0), made(1))
    assert jobs == []


@pytest.mark.parametrize(
    ("method", "changes", "needs"),
    [
        ("lmim", {}, {"teacher", "draws", "reads"}),
        ("lmim", {"target": "pixel", "guidance": False, "alignment_weight": 0.0}, set()),
        ("lmim", {"target": "random_features"}, {"teacher", "draws", "reads"}),
        ("lmim", {"alignment_variance": 1.0}, {"teacher", "draws", "reads", "compares"}),
        ("mim", {}, set()),
        ("seqclr", {}, {"draws", "compares"}),
        ("none", {}, set()),
    ],
)
def test_what_a_method_needs(pretraining, method, changes, needs):
    given, found = pretraining.model_copy(update={"method": method, **changes}), METHODS[method]
    asked = {
        "teacher": found.needs_teacher(given),
        "draws": found.draws_views(given),
        "reads": found.reads_views(given),
        "compares": found.compares_crops(given),
    }
    assert {name for name, yes in asked.items() if yes} == needs
    assert found.trains == (method != "none")
    assert found.masks == (method != "seqclr") and found.counted == (method != "seqclr")
