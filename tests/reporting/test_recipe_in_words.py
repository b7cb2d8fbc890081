"""What the report says was done is what was done."""

import pytest

from lmim_kedro.params import FinetuningParams, ModelParams, OptimizationParams, PretrainingParams, ViewPreset
from lmim_kedro.recipe import Recipe
from lmim_kedro.registries import AUGMENTATIONS
from lmim_kedro.reporting.recipe_in_words import recipe_in_words

OPTIMIZATION = OptimizationParams(epochs=10, batch_size=512, warmup_epochs=1, base_learning_rate=1.5e-4)


def told(augmentation: str = "abinet", **changes) -> dict[str, dict[str, str]]:
    pretraining = {"teacher": {"optimization": OPTIMIZATION}, "optimization": OPTIMIZATION, **changes}
    names = {"variant": "v", "env": "test", "seed": 0, "model_name": "vit_small", "views_name": "strong"}
    recipe = Recipe(
        **names,
        model=ModelParams(),
        views=ViewPreset(pick=(1, 1), contrast=(0.5, 1.0)),
        pretraining=PretrainingParams.model_validate(pretraining),
        finetuning=FinetuningParams(optimization=OPTIMIZATION, augmentation=augmentation),
    )
    return {group: dict(rows) for group, rows in recipe_in_words(recipe.model_dump(mode="json"), {})}


@pytest.mark.parametrize(("method", "name"), [("lmim", "LMIM"), ("mim", "MIM"), ("seqclr", "SeqCLR"), ("none", "none")])
def test_every_method_is_called_by_its_name(method, name):
    assert told(method=method)["Pre-training"]["Method"].partition(":")[0] == name


def test_seqclr_masks_nothing_and_has_views():
    groups = told(method="seqclr")
    assert "Masking" not in groups["Pre-training"] and "Guidance views strong" in groups


def test_a_longer_training_is_not_told_as_the_short_one():
    assert "Length" not in told()["Pre-training"]
    assert told(length=2.0)["Pre-training"]["Length"] == "2 times that"
    assert "as the teacher saw" in told(method="mim", budget="crops")["Pre-training"]["Budget"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alignment_stop_gradient": True}, "fixed target"),
        ({"alignment_projector": 64}, "MLP of width 64"),
        ({"alignment_variance": 1.0}, "variance term of weight 1"),
    ],
)
def test_variants_of_the_alignment_are_told(changes, words):
    assert words in told(**changes)["Pre-training"]["Alignment"]
    assert told()["Pre-training"]["Alignment"] == "weight 1"


def test_augmentation_added_from_outside_has_its_own_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(AUGMENTATIONS, "_entries", {**AUGMENTATIONS._entries, "mine": object})
    assert told("mine")["Fine-tuning reference"]["Augmentation"] == "mine"
    assert told("none")["Fine-tuning reference"]["Augmentation"] == "none"


def test_a_stem_is_told_and_so_is_an_average_of_the_weights():
    assert "Stem" not in told()["Model vit_small"] and "averaged" not in told()["Fine-tuning reference"]["Optimization"]
    recipe = Recipe(
        **{"variant": "v", "env": "test", "seed": 0, "model_name": "conv_tiny", "views_name": "strong"},
        model=ModelParams(patch_height=32, stem=((32, 2, 2), (64, 2, 1)), position_grid="layout"),
        views=ViewPreset(),
        pretraining=PretrainingParams.model_validate(
            {"teacher": {"optimization": OPTIMIZATION}, "optimization": OPTIMIZATION}
        ),
        finetuning=FinetuningParams(optimization=OPTIMIZATION.model_copy(update={"ema": 0.998})),
    )
    groups = {group: dict(rows) for group, rows in recipe_in_words(recipe.model_dump(mode="json"), {})}
    assert groups["Model conv_tiny"]["Stem"].endswith("32 features (2 down, 2 across), 64 features (2 down, 1 across)")
    assert "weights averaged with decay 0.998" in groups["Fine-tuning reference"]["Optimization"]
