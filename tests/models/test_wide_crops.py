"""Wider crops: presets, positions that are interpolated, weights of another width, and words with a space."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from lmim_kedro import OnnxReader, open_source, prepare
from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import sincos_position
from lmim_kedro.models.folder import READY, require_encoder
from lmim_kedro.models.released import import_encoder
from lmim_kedro.models.weights import load_recognizer, save_model
from lmim_kedro.params import (
    FinetuningParams,
    IngestParams,
    ModelParams,
    OptimizationParams,
    PretrainingParams,
    TrainingParams,
    ViewPreset,
)
from lmim_kedro.reading.export_onnx import export_recognizer
from lmim_kedro.reading.reader import Reader
from lmim_kedro.recipe import Recipe, resolve_finetuning
from lmim_kedro.training.finetuning import finetune

PRESETS = yaml.safe_load((Path(__file__).parents[2] / "conf/base/models.yml").read_text("utf-8"))["models"]
ADAMW = {"betas": (0.9, 0.95), "weight_decay": 0.0, "layer_decay": 1.0}


def preset(name: str) -> ModelParams:
    return ModelParams.model_validate(PRESETS[name])


@pytest.mark.parametrize("name", ["conv_tiny", "vit_small"])
def test_wide_presets_are_wider_and_nothing_else(name: str) -> None:
    for width in (256, 512):
        wide = preset(f"{name}_{width}")
        assert (wide.image_width, wide.columns, wide.position_columns) == (width, width // 4, 32)
        same = {"image_width": 128, "position_columns": None, "position_grid": preset(name).position_grid}
        assert wide.model_copy(update=same) == preset(name)


def test_positions_of_a_wide_crop_lie_between_those_of_a_narrow_one() -> None:
    narrow = ModelParams(position_grid="layout", width=24)
    wide = narrow.model_copy(update={"image_width": 256, "position_columns": 32})
    first, second = (sincos_position(each, 8)[0, 1:].view(8, -1, 8) for each in (narrow, wide))
    assert second.shape == (8, 64, 8)
    # Columns 2k and 2k + 1 lie a quarter to either side of column k: for slow angles their mean is its value.
    assert torch.allclose((second[:, 0::2] + second[:, 1::2])[..., 1] / 2, first[..., 1], atol=1e-3)
    assert torch.equal(second[:, 5, 4:], second[:, 40, 4:])  # rows stay
    with pytest.raises(ValueError, match="position_columns needs position_grid: layout"):
        ModelParams(position_columns=32)


def test_weights_of_another_width_are_taken_over_and_of_other_sizes_refused() -> None:
    wide = preset("conv_tiny_256")
    encoder, imported = import_encoder("ready", wide)
    assert imported.loaded > 20 and encoder(torch.zeros(1, 3, 32, 256)).shape == (1, 65, 128)
    # A crop of the left half reads alike: the same pixels, and nearly the same places.
    require_encoder("ready", wide.model_copy(update={"keep_ratio": True}))
    with pytest.raises(InputError, match="other sizes than the model in use .depth 2, not 3"):
        require_encoder("ready", wide.model_copy(update={"depth": 3}))


def recipe_of(model: ModelParams, **finetuning) -> Recipe:
    steps = OptimizationParams(steps=30, batch_size=8, warmup_steps=5, base_learning_rate=0.06, **ADAMW)
    return Recipe(
        variant="lmim",
        env="test",
        seed=0,
        model_name="tiny",
        model=model,
        views=ViewPreset(),
        views_name="none",
        pretraining=PretrainingParams.model_validate({"teacher": {"optimization": steps}, "optimization": steps}),
        finetuning=FinetuningParams.model_validate({"optimization": steps, "augmentation": "none"} | finetuning),
    )


def test_fine_tuning_may_be_wider_than_pre_training(stem_size: ModelParams) -> None:
    made, wide = recipe_of(stem_size), stem_size.model_copy(update={"image_width": 256, "keep_ratio": True})
    assert resolve_finetuning(recipe_of(wide), made).model == wide
    with pytest.raises(InputError, match="differs in width: choose that model"):
        resolve_finetuning(recipe_of(stem_size.model_copy(update={"width": 48})), made)


def test_two_words_with_a_space_are_learned_and_read_on_wide_crops(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    texts = ("no go", "go on")
    lines = []
    for number in range(8):
        drawn = np.full((32, 256, 3), 255, np.uint8)
        cv2.putText(drawn, texts[number % 2], (4 + number, 24), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 0, 0), 2)
        cv2.imwrite(str(tmp_path / f"{number}.png"), drawn)
        lines.append(f"{number}.png\t{texts[number % 2]}\n")
    (tmp_path / "gt.txt").write_text("".join(lines))
    source = open_source("lines", {"path": str(tmp_path / "gt.txt")})
    crops = prepare([source], IngestParams(workers=1), tmp_path / "store", need_labels=True)
    wide = preset("conv_tiny_256")
    recipe = recipe_of(wide, decoder="ctc", charset="from_labels", start="ready")
    recognizer, _ = finetune(crops, None, recipe, TrainingParams(device="cpu", threads=1), tmp_path / "state")
    assert recognizer.charset.characters == " gno"
    save_model(tmp_path / "model", recognizer)
    export_recognizer(load_recognizer(tmp_path / "model"), tmp_path / "onnx")
    files = [tmp_path / f"{number}.png" for number in range(8)]
    for reader in (Reader.load(tmp_path / "model", "cpu"), OnnxReader(tmp_path / "onnx", threads=1)):
        assert [reading.text for reading in reader.read(files)] == [texts[number % 2] for number in range(8)]


def test_the_ready_reader_has_the_size_of_its_preset() -> None:
    assert load_recognizer(READY / "recognizer").model == preset("conv_tiny")
