"""How a batch becomes what the model is given."""

import numpy as np
import pytest
import torch

from lmim_kedro.crops.loader import CropLoader
from lmim_kedro.crops.pixels import to_input
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.masking import draw_priority
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.seqclr import SeqCLR
from lmim_kedro.params import FinetuningParams, ViewPreset
from lmim_kedro.recipe import Recipe
from lmim_kedro.registries import AUGMENTATIONS
from lmim_kedro.text.charset import Charset
from lmim_kedro.training import pretraining as stage
from lmim_kedro.training.finetuning import finetune
from lmim_kedro.training.tasks import FinetuningTask, PretrainingTask, SeqCLRTask
from lmim_kedro.views.guidance import GuidanceViews


@pytest.fixture
def batch(store):
    return next(CropLoader(store, height=32, width=128, batch_size=8, seed=1, with_labels=True).epoch(0))


@pytest.fixture
def recipe(size, pretraining, optimization) -> Recipe:
    finetuning = FinetuningParams(
        optimization=optimization, charset="english_36", augmentation="none", max_length=6, freeze_encoder=True
    )
    names = {"variant": "lmim", "env": "test", "seed": 0, "model_name": "tiny", "views_name": "none"}
    return Recipe(**names, model=size, views=ViewPreset(), pretraining=pretraining, finetuning=finetuning)


def given_to(task, batch, epoch):
    """What the task hands to the model."""

    class Given(Exception):
        pass

    def forward(*given):
        raise Given(given)

    with pytest.raises(Given) as given:
        task.loss(batch, epoch, forward)
    return list(given.value.args[0])


def test_pretraining_sees_the_clean_crop_beside_its_view_and_both_view_and_mask_change_with_the_epoch(
    batch, size, pretraining
):
    model = LMIM(size, pretraining, Encoder(size))
    task = PretrainingTask("pre-training", model, GuidanceViews(ViewPreset(pick=(1, 1), contrast=(0.3, 0.9))), 5)
    images, view, mask = given_to(task, batch, 0)
    assert torch.equal(images, batch.images.float() / 127.5 - 1)
    assert view.shape == images.shape and (view - images).abs().mean() > 0.05
    _, same_view, same_mask = given_to(task, batch, 0)
    _, other_view, other_mask = given_to(task, batch, 1)
    assert torch.equal(same_view, view) and torch.equal(same_mask, mask)
    assert not torch.equal(other_view, view) and not torch.equal(other_mask, mask)


def test_pretraining_masks_by_the_strategy_of_the_recipe(batch, size, pretraining):
    spans = LMIM(size, pretraining.model_copy(update={"masking": "span"}), Encoder(size))
    _, _, mask = given_to(PretrainingTask("pre-training", spans, None, 5), batch, 2)
    assert torch.equal(mask, draw_priority("span", 1, 32, seed=5, epoch=2, index=batch.index.numpy()))


def test_seqclr_sees_two_views_of_each_crop_that_change_with_the_epoch(batch, size, pretraining):
    views = GuidanceViews(ViewPreset(pick=(1, 1), contrast=(0.3, 0.9)))
    task = SeqCLRTask("pre-training", SeqCLR(size, pretraining), views, 5)
    first, second = given_to(task, batch, 0)
    crops, middle = to_input(batch.images), to_input(torch.tensor(127, dtype=torch.uint8))
    for view in (first, second):
        factor = (view - middle) / (crops - middle)
        inner = factor.flatten(1)[:, (crops - middle).abs().flatten(1).amin(0) > 0.1]
        assert torch.allclose(inner, inner[:, :1].expand_as(inner), atol=1e-4)  # of this crop, not of another
    assert (first - second).abs().mean() > 0.02
    assert torch.equal(given_to(task, batch, 0)[0], first)
    assert not torch.equal(given_to(task, batch, 1)[0], first)


def test_fine_tuning_sees_the_augmented_crop_and_its_label(batch, size):
    task = FinetuningTask(Recognizer(size, Charset("ab")), lambda images, aspect, **_: 1 - images.float() / 255, 0)
    images, symbols = given_to(task, batch, 0)
    assert torch.allclose(images, -to_input(batch.images), atol=1e-6)
    labels = ["ab" if index % 2 else "ba" for index in batch.index.tolist()]
    assert torch.equal(symbols, task.module.head.targets(labels)[0])
    logits = task.module(images, symbols)
    lengths = torch.full((8,), 3)  # with the end symbol
    got = task.loss(batch, 0, lambda *_: logits)["loss"]
    assert torch.equal(got, task.module.head.loss(logits, symbols, lengths))


def test_the_augmentation_gets_seed_epoch_and_crops(batch, size):
    calls = []

    def augment(images, aspect, **given):
        calls.append((aspect, given))
        return images

    given_to(FinetuningTask(Recognizer(size, Charset("ab")), augment, 7), batch, 3)
    ((aspect, given),) = calls
    assert aspect.tolist() == [2.5] * 8  # 30 x 12 pixels
    assert (given["seed"], given["epoch"], given["index"].tolist()) == (7, 3, batch.index.tolist())


def test_the_teacher_is_a_masked_autoencoder_with_a_ratio_of_its_own(store, recipe, training, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(stage, "train", lambda job, model: trained.append(model) or (model, stage.no_metrics()))
    own = recipe.pretraining.teacher.model_copy(update={"mask_ratio": 0.6})
    changes = recipe.pretraining.model_copy(update={"teacher": own, "masking": "block"})
    stage.make_teacher(store, recipe.model_copy(update={"pretraining": changes}), training, tmp_path)
    given = trained[0].pretraining
    assert (given.method, given.mask_ratio, given.masking) == ("mim", 0.6, "random")


def test_fine_tuning_begins_with_the_pretrained_encoder_and_leaves_a_frozen_one_as_it_is(
    store, size, recipe, training, tmp_path
):
    encoder = Encoder(size)
    recognizer, metrics = finetune(store, encoder, recipe, training, tmp_path)
    assert len(metrics) == 12 and np.isfinite(metrics["loss"]).all()
    after = recognizer.encoder.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in encoder.state_dict().items())


def test_an_augmentation_from_outside_is_what_fine_tuning_sees(store, size, recipe, training, tmp_path, monkeypatch):
    seen = []

    def gray(height, width):
        def augment(images, aspect, *, seed, epoch, index):
            seen.extend((height, width, epoch, number) for number in index.tolist())
            return torch.full(images.shape, 0.5)

        return augment

    monkeypatch.setattr(AUGMENTATIONS, "_entries", dict(AUGMENTATIONS._entries))
    AUGMENTATIONS.register("gray", gray)
    given = FinetuningParams.model_validate(recipe.finetuning.model_dump() | {"augmentation": "gray"})
    _, metrics = finetune(store, Encoder(size), recipe.model_copy(update={"finetuning": given}), training, tmp_path)
    assert len(metrics) == 12
    assert {(32, 128, 0, number) for number in range(40)} <= set(seen)
