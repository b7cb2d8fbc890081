"""Every variant of conf/base, whatever it changes, resolves to a recipe and trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import yaml
from tests.fake_gpu import Watch, fake_gpu
from torch import Tensor

from lmim_kedro.config import merge_and_check
from lmim_kedro.crops.loader import CropBatch
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.params import ModelParams, TrainingParams
from lmim_kedro.recipe import Recipe, resolve_recipe
from lmim_kedro.registries import AUGMENTATIONS, METHODS
from lmim_kedro.reporting.recipe_in_words import recipe_in_words
from lmim_kedro.text.charset import Charset
from lmim_kedro.training.budget import with_budget
from lmim_kedro.training.finetuning import finetune
from lmim_kedro.training.pretraining import pretrain
from lmim_kedro.training.ranks import Ranks
from lmim_kedro.training.tasks import FinetuningTask
from lmim_kedro.views.guidance import GuidanceViews

BASE = Path(__file__).parents[1] / "conf" / "base"
VARIANTS: dict[str, Any] = yaml.safe_load((BASE / "variants.yml").read_text("utf-8"))["variants"]

TINY = {
    "patch_height": 8,
    "patch_width": 8,
    "width": 16,
    "depth": 2,
    "heads": 2,
    "mlp_ratio": 2,
    "decoder_width": 16,
    "decoder_depth": 1,
    "decoder_heads": 2,
    "decoder_ffn": 16,
    "recognizer": {"width": 16, "depth": 1, "heads": 2, "ffn": 16},
}
TWO_STEPS = {"epochs": None, "steps": 2, "warmup_epochs": None, "warmup_steps": 1, "batch_size": 4}
GIVEN = {
    "model": "tiny",
    "models": {"tiny": TINY},
    "pretraining": {"optimization": TWO_STEPS, "teacher": {"optimization": TWO_STEPS}},
    "finetuning": {"optimization": TWO_STEPS},
}


class RenderedStore:
    """A few rendered words in memory, as a packed store gives them."""

    fingerprint = "rendered in memory"

    def __init__(self, count: int) -> None:
        words = RenderedWords(count, split="finetuning")
        self._crops = [words.render(number) for number in range(count)]

    def __len__(self) -> int:
        return len(self._crops)

    def fetch(self, indices: Sequence[int]) -> list[bytes]:
        return [self._crops[index][1] for index in indices]

    def labels(self, indices: Sequence[int]) -> list[str]:
        return [self._crops[index][0] for index in indices]


@pytest.fixture(scope="module")
def store() -> PackedStore:
    return cast(PackedStore, RenderedStore(9))


@pytest.fixture(params=VARIANTS)
def recipe(request: pytest.FixtureRequest) -> Recipe:
    written: dict[str, Any] = {}
    for file in sorted(BASE.glob("[!c]*.yml")):
        written |= yaml.safe_load(file.read_text("utf-8"))
    given = {**GIVEN, "variant": request.param}
    return resolve_recipe(merge_and_check({**written, "variant": request.param}, given))


@pytest.fixture
def training() -> TrainingParams:
    torch.set_num_threads(1)
    return TrainingParams(device="cpu", precision="fp32", threads=1, log_every=1)


def assert_trained(metrics: pd.DataFrame, steps: int | None = 2) -> None:
    assert len(metrics) == steps and metrics["step"].iloc[-1] == steps
    assert np.isfinite(metrics["loss"]).all() and (metrics["loss"] > 0).all()


def changed(trained: torch.nn.Module, before: Encoder) -> bool:
    """Whether the weights of an encoder have moved."""
    pairs = zip(trained.parameters(), before.parameters(), strict=True)
    return any(not torch.equal(after, first) for after, first in pairs)


def test_variant_takes_two_steps_of_pretraining_or_as_many_as_its_budget_makes_of_them(
    recipe: Recipe, store: PackedStore, training: TrainingParams, tmp_path: Path
) -> None:
    teacher = Encoder(recipe.model)
    model, metrics = pretrain(store, teacher, recipe, training, tmp_path)
    untrained, nothing = pretrain(store, teacher, _without_pretraining(recipe), training, tmp_path)
    assert nothing.empty
    if recipe.pretraining.method == "none":
        assert metrics.empty and not changed(model.encoder, untrained.encoder)
    else:
        assert_trained(metrics, with_budget(recipe, len(store)).pretraining.optimization.steps)
        assert changed(model.encoder, untrained.encoder)


def test_variant_takes_two_steps_of_finetuning(
    recipe: Recipe, store: PackedStore, training: TrainingParams, tmp_path: Path
) -> None:
    encoder = Encoder(recipe.model)
    recognizer, metrics = finetune(store, encoder, recipe, training, tmp_path)
    assert_trained(metrics)
    assert changed(recognizer.encoder, encoder) != recipe.finetuning.freeze_encoder


def step_on_a_gpu(task: Any, labels: list[str] | None, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Loss and gradients of a batch on a GPU that is not there, after one that is, if it is."""
    if torch.cuda.is_available():
        step_on_the_gpu(task, labels)
    task.module.to(Watch.device).train()
    crops = torch.randint(256, (8, 3, 32, 128), dtype=torch.uint8)
    with fake_gpu(monkeypatch) as watch:
        batch = CropBatch(watch.pin(crops), watch.pin(torch.ones(8)), torch.arange(8), labels)
        losses = task.loss(batch, 0, task.module)
        losses["loss"].backward()
        Ranks(Watch.device).mean(losses)
    assert watch.operations > 100
    return watch


def step_on_the_gpu(task: Any, labels: list[str] | None) -> None:
    """Loss and gradients of two batches; a wait in the second is an error of torch's own."""
    task.module.to("cuda").train()
    crops = torch.randint(256, (8, 3, 32, 128), dtype=torch.uint8)
    batch = CropBatch(crops.pin_memory(), torch.ones(8).pin_memory(), torch.arange(8), labels)
    task.loss(batch, 0, task.module)["loss"].backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        task.loss(batch, 1, task.module)["loss"].backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_no_step_of_a_variant_waits_for_a_gpu(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    pretraining, model = recipe.pretraining, recipe.model
    method = METHODS[pretraining.method]
    if not method.trains:
        pytest.skip("nothing is pre-trained")
    module = method.build(model, pretraining, Encoder(model) if method.needs_teacher(pretraining) else None)
    task = method.task("pre-training", module, GuidanceViews(recipe.views), 0)
    assert step_on_a_gpu(task, None, monkeypatch).notes == set()


@pytest.mark.parametrize("augmentation", ["abinet", "parseq"])
@pytest.mark.parametrize("decoder", ["autoregressive", "ctc"])
def test_no_step_of_finetuning_waits_for_a_gpu(
    decoder: str, augmentation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = Recognizer(ModelParams.model_validate({**TINY, "input": "gray"}), Charset("ab"), decoder, 9)
    task = FinetuningTask(recognizer, AUGMENTATIONS[augmentation](32, 128), 0)

    def ctc_loss(logs: Tensor, symbols: Tensor, columns: Tensor, lengths: Tensor, **_: Any) -> Tensor:
        assert (logs.device, symbols.device) == (Watch.device,) * 2
        assert (columns.device.type, lengths.device.type) == ("cpu", "cpu")  # the host reads them
        return logs.sum((0, 2))

    monkeypatch.setattr(F, "ctc_loss", ctc_loss)  # no kernel for tensors without values
    assert step_on_a_gpu(task, ["a", "abba"] * 4, monkeypatch).notes == set()


def test_recipe_of_a_variant_can_be_said_in_words(recipe: Recipe) -> None:
    groups = dict(recipe_in_words(recipe.model_dump(mode="json"), {}))
    assert dict(groups["Run"])["Variant"] == recipe.variant
    assert groups[f"Fine-tuning {recipe.finetuning.preset}"]


def _without_pretraining(recipe: Recipe) -> Recipe:
    none = recipe.pretraining.model_copy(update={"method": "none", "budget": "own"})
    return recipe.model_copy(update={"pretraining": none})
