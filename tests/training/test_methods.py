"""A pre-training method is one object in one registry: one that comes from outside is trained, saved and described."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.weights import load_pretraining, save_model
from lmim_kedro.params import FinetuningParams, PretrainingParams, ViewPreset
from lmim_kedro.recipe import Recipe, needs_teacher
from lmim_kedro.registries import METHODS
from lmim_kedro.reporting.recipe_in_words import recipe_in_words
from lmim_kedro.training.budget import step_operations, with_budget
from lmim_kedro.training.methods import Method
from lmim_kedro.training.pretraining import pretrain
from lmim_kedro.training.tasks import to_input


class Denoiser(nn.Module):
    """Predicts the mean color of the crop from its view."""

    def __init__(self, model, pretraining):
        super().__init__()
        self.model, self.pretraining, self.encoder = model, pretraining, Encoder(model)
        self.head = nn.Linear(model.width, 3)

    def forward(self, view, images):
        return {"loss": F.mse_loss(self.head(self.encoder(view)[:, 0]), images.mean((2, 3)))}


class DenoisingTask:
    def __init__(self, name, module, views, seed):
        self.name, self.module, self.views, self.seed = name, module, views, seed

    def loss(self, batch, epoch, forward):
        view = self.views(batch.images, batch.aspect, seed=self.seed, epoch=epoch, index=batch.index.numpy())
        return forward(to_input(view), to_input(batch.images))


class Denoising(Method):
    def build(self, model, pretraining, teacher):
        assert teacher is None
        return Denoiser(model, pretraining)

    def task(self, stage, module, views, seed):
        return DenoisingTask(stage, module, views, seed)

    def draws_views(self, pretraining):
        return True

    def compares_crops(self, pretraining):
        return pretraining.alignment_variance > 0


@pytest.fixture
def recipe(monkeypatch, size, optimization) -> Recipe:
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    METHODS.register("denoising", Denoising("denoising", "Denoising: the color of the crop"))
    two = optimization.model_copy(update={"steps": 2, "warmup_steps": 1})
    return Recipe(
        variant="denoising",
        env="test",
        seed=0,
        model_name="tiny",
        model=size,
        views=ViewPreset(pick=(1, 1), contrast=(0.3, 0.9)),
        views_name="none",
        pretraining=PretrainingParams.model_validate(
            {"method": "denoising", "teacher": {"optimization": two}, "optimization": two}
        ),
        finetuning=FinetuningParams(optimization=two),
    )


def with_pretraining(recipe: Recipe, **changes) -> Recipe:
    return recipe.model_copy(update={"pretraining": recipe.pretraining.model_copy(update=changes)})


def test_a_method_from_outside_is_pretrained_saved_and_loaded(recipe, store, training, tmp_path):
    assert not needs_teacher(recipe.pretraining)
    model, metrics = pretrain(store, Encoder(recipe.model), recipe, training, tmp_path / "state")
    assert isinstance(model, Denoiser) and len(metrics) == 2
    save_model(tmp_path / "model", model)
    back = load_pretraining(tmp_path / "model")
    assert isinstance(back, Denoiser) and back.pretraining == recipe.pretraining
    assert all(torch.equal(value, back.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_method_from_outside_is_described_on_the_page(recipe):
    groups = dict(recipe_in_words(recipe.model_dump(mode="json"), {}))
    assert ("Method", "Denoising: the color of the crop") in groups["Pre-training"]
    assert "Masking" not in dict(groups["Pre-training"]) and "Guidance views none" in groups


def test_operations_of_a_method_from_outside_are_counted(recipe):
    one = step_operations(recipe, recipe.pretraining)
    assert one > 0
    longer = with_budget(with_pretraining(recipe, budget="compute"), 40).pretraining.optimization.steps
    lmim = step_operations(recipe, recipe.pretraining.model_copy(update={"method": "lmim", "mask_ratio": 0.8}))
    teacher = recipe.pretraining.model_copy(update={"method": "mim", "mask_ratio": 0.75})
    assert longer == round(2 * (step_operations(recipe, teacher) + lmim) / one)


def test_a_loss_that_compares_crops_is_not_trained_in_parts(recipe, store, training, tmp_path):
    parts = training.model_copy(update={"accumulate": 2})
    _, metrics = pretrain(store, Encoder(recipe.model), recipe, parts, tmp_path / "apart")
    assert len(metrics) == 2
    comparing = with_pretraining(recipe, alignment_variance=1.0)
    with pytest.raises(InputError, match="accumulate is 2, but the loss of denoising compares the crops"):
        pretrain(store, Encoder(recipe.model), comparing, parts, tmp_path / "comparing")


def test_a_method_that_reads_no_stored_views_draws_its_own(recipe, store, training, tmp_path, caplog):
    caplog.set_level("INFO", "lmim_kedro")
    _, metrics = pretrain(store, Encoder(recipe.model), recipe, training, tmp_path, views=None, materialized=2)
    assert len(metrics) == 2 and "looks at no materialized views" in caplog.text
