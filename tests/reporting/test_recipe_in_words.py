"""What the report says was done is what was done."""

import pandas as pd
import pytest

from lmim_kedro.params import (
    FinetuningParams,
    ModelParams,
    OptimizationParams,
    PretrainingParams,
    ValidationParams,
    ViewPreset,
)
from lmim_kedro.recipe import Recipe
from lmim_kedro.registries import AUGMENTATIONS
from lmim_kedro.reporting.recipe_in_words import kept_in_words, optimization_in_words, recipe_in_words

ADAMW = {"betas": (0.9, 0.95), "weight_decay": 0.05, "layer_decay": 1.0}
OPTIMIZATION = OptimizationParams(epochs=10, batch_size=512, warmup_epochs=1, base_learning_rate=1.5e-4, **ADAMW)


def told(augmentation: str = "abinet", views=None, finetuning=None, **changes) -> dict[str, dict[str, str]]:
    pretraining = {"teacher": {"optimization": OPTIMIZATION}, "optimization": OPTIMIZATION, **changes}
    names = {"variant": "v", "env": "test", "seed": 0, "model_name": "vit_small", "views_name": "strong"}
    recipe = Recipe(
        **names,
        model=ModelParams(),
        views=views or ViewPreset(pick=(1, 1), contrast=(0.5, 1.0)),
        pretraining=PretrainingParams.model_validate(pretraining),
        finetuning=FinetuningParams(optimization=OPTIMIZATION, augmentation=augmentation, **finetuning or {}),
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


def test_optimization_is_told_in_the_unit_that_was_given():
    epochs = "10 epochs, batches of 512; AdamW, learning rate 0.0003 after 1 epoch of warm-up, then half-cosine to 0; "
    assert optimization_in_words(OPTIMIZATION) == epochs + "betas 0.9 and 0.95, weight decay 0.05"
    adamw = {"betas": (0.9, 0.95), "weight_decay": 0.05, "layer_decay": 0.75, "clip_norm": 2.0}
    steps = OptimizationParams(steps=30_000, batch_size=256, warmup_steps=500, base_learning_rate=1e-4, **adamw)
    assert optimization_in_words(steps) == (
        "30,000 steps, batches of 256; AdamW, learning rate 0.0001 after 500 steps of warm-up, then half-cosine to 0; "
        "betas 0.9 and 0.95, weight decay 0.05; layer-wise decay 0.75; gradient norm clipped at 2"
    )


def test_what_fine_tuning_started_from_is_told_once():
    groups = told(method="none", weights="ready", finetuning={"start": "ready"})
    assert groups["Fine-tuning reference"]["Starts from"] == "the ready reader: encoder, decoder and head"
    assert groups["Pre-training"] == {"Method": "none"}
    assert told(weights="ready")["Pre-training"]["Encoder from"] == "the ready reader"
    assert "Starts from" not in told()["Fine-tuning reference"]


def test_crops_that_are_held_out_are_told():
    rows = told(finetuning={"validation": {"share": 0.05, "every": 1000, "patience": 3}})["Fine-tuning reference"]
    assert rows["Held out"] == (
        "5 % of the labeled crops, read every 1,000 steps; the step with the highest WAICS is the result; "
        "training ends after 3 readings without a higher one"
    )
    rows = told(finetuning={"validation": {"sources": ("a", "b"), "metric": "ned"}})["Fine-tuning reference"]
    assert rows["Held out"] == (
        "the crops of a, b, read every 500 steps; the step with the highest 1 - NED is the result"
    )
    assert "Held out" not in told(finetuning={"validation": {"patience": 3}})["Fine-tuning reference"]


def test_the_step_that_was_kept_is_told_with_its_reason():
    validation = ValidationParams(share=0.1, patience=2)
    table = pd.DataFrame({"step": [500, 750, 1000, 1500], "validation_waics": [0.5, None, 0.75, 0.75]})
    kept = (
        "Fine-tuning keeps the weights of step 1,000: of 3 readings of the held-out crops, the highest WAICS, 75.00 %."
    )
    assert kept_in_words(table, validation) == kept
    longer = pd.concat([table, pd.DataFrame({"step": [2000], "validation_waics": [0.25]})])
    assert kept_in_words(longer, validation) == (
        f"{kept.replace('of 3', 'of 4')} It ended at step 2,000, after 2 without a higher one."
    )
    assert kept_in_words(table, ValidationParams()) == "" == kept_in_words(table[["step"]], validation)


def test_an_encoder_that_learns_later_or_slower_is_told():
    optimization = OPTIMIZATION.model_copy(update={"encoder_learning_rate": 0.1, "freeze_encoder_steps": 1500})
    assert optimization_in_words(optimization).endswith(
        "weight decay 0.05; the encoder at 0.1 times that rate; the encoder fixed for the first 1,500 steps"
    )


def test_what_was_not_done_is_not_told():
    rows = told()["Pre-training"]
    assert not {"Encoder from", "Budget", "Length"} & rows.keys()
    assert told(method="none", weights="a.pt")["Pre-training"] == {"Encoder from": "a.pt", "Method": "none"}
    assert not {"Guidance", "Alignment", "Target", "Teacher"} & told(method="mim")["Pre-training"].keys()
    off = told(guidance=False, alignment_weight=0)["Pre-training"]
    assert (off["Guidance"], off["Alignment"]) == ("none", "none")


def test_teacher_is_told_where_features_are_the_target():
    assert "Teacher" not in told(target="pixel")["Pre-training"]
    assert told(target="pixel")["Pre-training"]["Target"] == "pixels"
    assert told()["Pre-training"]["Teacher"].startswith(
        "masked autoencoder trained here on the same crops, 75 % masked"
    )
    path = {"teacher": {"path": "maerec.pth", "optimization": OPTIMIZATION}}
    assert told(**path)["Pre-training"]["Teacher"] == "maerec.pth"


def test_decoder_has_sizes_where_it_is_autoregressive_alone():
    model, recognizer = ModelParams(), ModelParams().recognizer
    sizes = f", {recognizer.depth} layers, width {recognizer.width}, {recognizer.heads} heads"
    assert told()["Fine-tuning reference"]["Decoder"] == "autoregressive" + sizes
    assert told(finetuning={"decoder": "ctc"})["Fine-tuning reference"]["Decoder"] == "ctc"
    assert "seeing" not in told()["Model vit_small"]["Patches"] and model.patch_overlap == 0


def test_views_are_told_with_their_ranges_and_the_jitter_after_them():
    assert told()["Guidance views strong"] == {"Operations each": "1 to 1", "Out of": "contrast 0.5–1"}
    jitter = {"probability": 0.8, "brightness": 0.4, "contrast": 0.3, "saturation": 0.2, "hue": 0.1}
    views = ViewPreset(sharpen=((0.0, 0.5), (0.7, 1.3)), rotate=10, jitter=jitter, grayscale_probability=0.2)
    assert told(views=views)["Guidance views strong"] == {
        "Operations each": "3 or more",
        "Out of": "sharpen 0–0.5, 0.7–1.3; rotate 10",
        "Then": "color jitter with probability 0.8 (brightness 0.4, contrast 0.3, saturation 0.2, hue 0.1), "
        "gray with probability 0.2",
    }


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
