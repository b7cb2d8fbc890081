"""A decoder head from outside: one class and one entry."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.heads import Head
from lmim_kedro.models.recognizer import Recognizer, longest_label
from lmim_kedro.models.weights import load_recognizer, save_model
from lmim_kedro.params import FinetuningParams, ModelParams, OptimizationParams, TrainingParams, ViewPreset
from lmim_kedro.reading.export_onnx import export_recognizer
from lmim_kedro.recipe import Recipe
from lmim_kedro.registries import DECODERS
from lmim_kedro.text.charset import Charset
from lmim_kedro.text.spelling import Reading
from lmim_kedro.training.finetuning import finetune

ADAMW = {"betas": (0.9, 0.95), "weight_decay": 0.05, "layer_decay": 1.0}


class FirstCharacterHead(Head):
    """Reads the first character from the mean of all patches."""

    def __init__(self, model: ModelParams, charset: Charset, max_length: int) -> None:
        super().__init__(model, charset, max_length)
        self.first = nn.Linear(model.width, len(charset))
        nn.init.zeros_(self.first.bias)

    @classmethod
    def longest_label(cls, model: ModelParams, max_length: int) -> int:
        return max_length

    def spelled(self, labels: Sequence[str]) -> tuple[list[list[int]], int, int]:
        return [self.charset.indices(label)[:1] for label in labels], 1, 0

    def logits(self, features: Tensor, symbols: Tensor) -> Tensor:
        return self.first(features[:, 1:].mean(1))

    def loss(self, logits: Tensor, symbols: Tensor, lengths: Tensor) -> Tensor:
        return F.cross_entropy(logits, symbols[:, 0])

    def read(self, features: Tensor, beam: int, length_power: float) -> list[Reading]:
        best = self.first(features[:, 1:].mean(1)).softmax(-1).max(-1)
        return [Reading(self.charset.text([n]), p, (p,)) for p, n in zip(*(x.tolist() for x in best), strict=True)]


@pytest.fixture
def first(monkeypatch) -> str:
    monkeypatch.setattr(DECODERS, "_entries", dict(DECODERS._entries))
    DECODERS.register("first", FirstCharacterHead)
    return "first"


class Store:
    """Words in memory."""

    fingerprint = "memory"

    def __len__(self) -> int:
        return 8

    def fetch(self, index: Sequence[int]) -> list[bytes]:
        return [crop.data or b"" for n in index for crop in RenderedWords(8).read(n, n + 1)]

    def labels(self, index: Sequence[int]) -> list[str]:
        return ["ab" if n % 2 else "cab" for n in index]


def test_more_steps_than_the_decoder_has_places_are_refused(first, columns_size):
    charset = Charset("abc")
    for decoder, most in (("autoregressive", 200), ("ctc", 1000), (first, 1000)):
        assert Recognizer(columns_size, charset, decoder, most).max_length == most
    with pytest.raises(InputError, match=r"max_length is 201, but the decoder .* has only 200 places: set .* 200 at"):
        Recognizer(columns_size, charset, "autoregressive", 201)


def test_a_head_from_outside_is_fine_tuned_saved_and_read_with(first, columns_size, crops, tmp_path, recipe):
    steps = OptimizationParams(steps=2, batch_size=4, warmup_steps=1, base_learning_rate=0.1, **ADAMW)
    given = {"variant": "scratch", "env": "test", "seed": 0, "model_name": "tiny", "views_name": "none"}
    finetuning = FinetuningParams(decoder=first, charset="english_36", augmentation="none", optimization=steps)
    made = Recipe(**given, model=columns_size, views=ViewPreset(), pretraining=recipe, finetuning=finetuning)
    training = TrainingParams(device="cpu", threads=1, log_every=1)
    recognizer, metrics = finetune(Store(), Encoder(columns_size), made, training, tmp_path / "state")
    assert recognizer.labels["usable"] == 8 and metrics["step"].max() == 2
    untrained = Recognizer(columns_size, recognizer.charset, first)
    names = [name for name, _ in untrained.named_parameters()]
    assert names[-2:] == ["first.weight", "first.bias"] and not any("head" in name for name in names)
    learned = recognizer.first.bias.tolist()
    assert [letter for letter, bias in zip(recognizer.charset.characters, learned, strict=True) if bias > 0] == [
        "a",
        "c",
    ]
    assert all(len(reading.text) == 1 for reading in recognizer.eval().read_batch(crops))
    save_model(tmp_path / "recognizer", recognizer)
    assert load_recognizer(tmp_path / "recognizer").eval().read_batch(crops) == recognizer.read_batch(crops)
    with pytest.raises(InputError, match="FirstCharacterHead has no ONNX export"):
        export_recognizer(recognizer, tmp_path / "onnx")


def test_a_decoder_that_is_not_there_is_refused_with_the_names_of_those_that_are(columns_size):
    with pytest.raises(InputError, match=r"no decoder 'ctx' \(did you mean `ctc`\?\): choose one of auto"):
        Recognizer(columns_size, Charset("ab"), "ctx")


@pytest.mark.parametrize(("steps", "longest"), [(25, 25), (40, 32)])
def test_a_label_for_ctc_is_no_longer_than_the_columns_and_the_steps(steps, longest):
    assert longest_label(ModelParams(), "ctc", steps) == longest  # 32 columns of patches
