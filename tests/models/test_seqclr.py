"""SeqCLR: instances from left to right, and a loss that falls when like meets like."""

import math

import pytest
import torch

from lmim_kedro.models.seqclr import INSTANCES, SeqCLR
from lmim_kedro.models.weights import load_pretraining, save_model
from lmim_kedro.params import ModelParams, OptimizationParams, PretrainingParams

ADAMW = {"betas": (0.9, 0.95), "weight_decay": 0.05, "layer_decay": 1.0}
OPTIMIZATION = OptimizationParams(steps=10, batch_size=8, warmup_steps=1, base_learning_rate=1e-3, **ADAMW)


@pytest.fixture(params=[(), ((8, 2, 2), (12, 2, 2))], ids=["patches", "stem"])
def seqclr(request: pytest.FixtureRequest) -> SeqCLR:
    torch.manual_seed(0)
    size = ModelParams(width=32, depth=2, heads=2, decoder_width=32, decoder_heads=2, stem=request.param)
    pretraining = {"method": "seqclr", "teacher": {"optimization": OPTIMIZATION}, "optimization": OPTIMIZATION}
    return SeqCLR(size, PretrainingParams.model_validate(pretraining))


def test_instances_are_means_over_fifths_of_the_word(seqclr):
    found = seqclr.instances(torch.arange(32.0).view(1, 32, 1)).flatten()
    assert found.shape == (INSTANCES,)
    assert found.tolist() == pytest.approx([3.0, 9.0, 15.5, 22.0, 28.0])  # columns 0-6, 6-12, 12-19, 19-25, 25-31


def test_loss_is_that_of_chance_for_views_that_share_nothing_and_lower_for_the_same_views(seqclr):
    torch.manual_seed(1)
    images, others = torch.rand(2, 6, 3, 32, 128) * 2 - 1
    same, different = seqclr(images, images), seqclr(images, others)
    chance = math.log(2 * 6 * INSTANCES - 1)
    assert same["loss"] < different["loss"]
    assert same["loss"] < chance
    assert same["matched"] > different["matched"]


def test_the_other_instances_of_a_word_are_no_match(seqclr):
    """Five equal instances in a row would all be nearest to each other: places along the word must be told apart."""
    seqclr.encoder.forward = lambda images: torch.ones(len(images), 257, 32)
    seqclr.project = lambda columns: columns
    losses = seqclr(torch.rand(4, 3, 32, 128), torch.rand(4, 3, 32, 128))
    assert losses["loss"].item() == pytest.approx(math.log(2 * 4 * INSTANCES - 1), abs=1e-4)
    assert losses["cls_std"] == 0


def test_likeness_is_divided_by_a_temperature_of_a_tenth(seqclr):
    seqclr.instances = lambda columns: torch.eye(5).expand(2, -1, -1)  # one word: like is 1, all 8 others 0
    losses = seqclr(torch.rand(1, 3, 32, 128), torch.rand(1, 3, 32, 128))
    assert losses["loss"].item() == pytest.approx(math.log1p(8 * math.exp(-1 / 0.1)), rel=1e-2)
    assert losses["matched"] == 1


def test_its_head_projects_to_256_features_by_a_lstm_of_256_in_both_directions(seqclr):
    assert seqclr.project(torch.zeros(2, 32, 32)).shape == (2, 32, 256)
    assert seqclr.lstm.hidden_size == 256 and seqclr.lstm.bidirectional


def test_a_saved_model_is_the_same_again(seqclr, tmp_path):
    save_model(tmp_path, seqclr)
    loaded = load_pretraining(tmp_path)
    assert isinstance(loaded, SeqCLR)
    for name, tensor in seqclr.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
