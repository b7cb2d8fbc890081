"""The temperature: an over-confident recognizer gets one above 1, and confidences that fit better."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from lmim_kedro.crops.loader import CropLoader
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.weights import load_recognizer, save_model
from lmim_kedro.text.charset import Charset
from lmim_kedro.training.finetuning import finetune
from lmim_kedro.training.temperature import fit_temperature

CROPS = 40


class Labeled:
    """Noise, half of it labeled with what a recognizer reads."""

    def __init__(self, store, recognizer: Recognizer, right: float) -> None:
        self.store, self.fingerprint = store, "labeled"
        images = np.concatenate([batch.images for batch in CropLoader(store, **SIZE, shuffle=False).epoch(0)])
        with torch.no_grad():
            read = recognizer.read_batch(torch.from_numpy(images).float() / 127.5 - 1)
        texts = [reading.text or "x" for reading in read]
        self.texts = [text if number < right * CROPS else "wrong" for number, text in enumerate(texts)]

    def __len__(self) -> int:
        return CROPS

    def fetch(self, indices):
        return self.store.fetch(indices)

    def labels(self, indices):
        return [self.texts[index] for index in indices]


SIZE = {"height": 32, "width": 128, "batch_size": 8, "seed": 0}


@pytest.fixture(params=["ctc", "autoregressive"])
def sure(request, size) -> Recognizer:
    """A recognizer that is sure of whatever it reads."""
    torch.manual_seed(0)
    recognizer = Recognizer(size, Charset("abcdefgh"), request.param, max_length=5).eval()
    classifier = recognizer.classifier if request.param == "ctc" else recognizer.decoder.classifier
    with torch.no_grad():
        classifier.weight.normal_(std=60.0 if request.param == "ctc" else 6.0)  # CTC: over all columns
    return recognizer


def test_an_over_confident_recognizer_is_cooled(sure, store):
    labeled = Labeled(store, sure, right=0.5)
    loader = CropLoader(labeled, **SIZE, shuffle=False, drop_last=False, with_labels=True)
    before = sure.read_batch(torch.zeros(1, 3, 32, 128))
    found = fit_temperature(sure, loader, "exact")
    assert found["temperature"] > 1.05
    assert found["calibration_error_tempered"] < found["calibration_error"]
    assert sure.temperature is None and sure.read_batch(torch.zeros(1, 3, 32, 128)) == before
    # Under the temperature that was found, another one is not needed.
    with torch.no_grad():
        classifier = getattr(sure, "classifier", None) or sure.decoder.classifier
        classifier.weight /= found["temperature"]
        classifier.bias /= found["temperature"]
    again = fit_temperature(sure, loader, "exact")
    assert again["temperature"] == pytest.approx(1, rel=0.1)
    assert again["calibration_error"] == pytest.approx(found["calibration_error_tempered"], abs=0.02)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_where_all_words_are_alike_there_is_no_temperature(right, sure, store, caplog):
    caplog.set_level("INFO", "lmim_kedro")
    labeled = Labeled(store, sure, right)
    loader = CropLoader(labeled, **SIZE, shuffle=False, drop_last=False, with_labels=True)
    found = fit_temperature(sure, loader, "exact")
    assert set(found.values()) == {None}
    assert f"all 40 held-out words are {'right' if right else 'wrong'}" in caplog.text


def test_fine_tuning_keeps_a_temperature_where_crops_are_held_out_and_none_elsewhere(
    size, store, recipe_of, optimization, training, tmp_path: Path
):
    longer = optimization.model_copy(update={"steps": 3, "base_learning_rate": 0.2})
    given = {"decoder": "ctc", "charset": "english_36", "optimization": longer}
    plain = recipe_of(**given)
    recognizer, metrics = finetune(store, Encoder(size), plain, training, tmp_path / "plain")
    assert recognizer.temperature is None and "temperature" not in metrics
    save_model(tmp_path / "model", recognizer)
    assert json.loads((tmp_path / "model" / "config.json").read_text())["temperature"] is None
    recognizer.temperature = 1.5
    save_model(tmp_path / "model", recognizer)
    assert load_recognizer(tmp_path / "model").temperature == 1.5
    assert math.isfinite(metrics["loss"].iloc[-1])
