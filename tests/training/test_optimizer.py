"""Parameter groups: weight decay and layer-wise learning rates."""

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.params import OptimizationParams
from lmim_kedro.text.charset import Charset
from lmim_kedro.training.optimizer import build_optimizer, set_learning_rate, update_average

ADAMW = {"betas": (0.9, 0.95), "weight_decay": 0.05, "layer_decay": 1.0}


def groups_by_name(module: torch.nn.Module, done: int = 0, **changes) -> dict[str, dict]:
    recipe = OptimizationParams(steps=1, warmup_steps=0, base_learning_rate=1e-3, batch_size=512, **(ADAMW | changes))
    optimizer = build_optimizer(module, recipe)
    set_learning_rate(optimizer, recipe.learning_rate, done)
    names = {parameter: name for name, parameter in module.named_parameters()}
    return {names[p]: group for group in optimizer.param_groups for p in group["params"]}


def test_the_learning_rate_rises_linearly_and_falls_as_half_a_cosine_to_nothing():
    recipe = OptimizationParams(steps=110, warmup_steps=10, base_learning_rate=1e-3, batch_size=512, **ADAMW)
    rates = [recipe.learning_rate_at(done, 110, 10) for done in (0, 5, 10, 35, 60, 110)]
    assert rates == pytest.approx([0, 1e-3, 2e-3, 1e-3 * (1 + 0.5**0.5), 1e-3, 0], abs=1e-12)


def test_every_trainable_parameter_is_in_one_group(size):
    recognizer = Recognizer(size, Charset("ab"))
    recognizer.encoder.cls_token.requires_grad_(False)
    names = groups_by_name(recognizer)
    assert names.keys() == {name for name, p in recognizer.named_parameters()} - {"encoder.cls_token"}


def test_parameters_of_one_dimension_do_not_decay(size):
    groups = groups_by_name(Recognizer(size, Charset("ab")))
    assert groups["encoder.blocks.0.attn.qkv.weight"]["weight_decay"] == 0.05
    assert groups["encoder.blocks.0.attn.qkv.bias"]["weight_decay"] == 0
    assert groups["encoder.norm.weight"]["weight_decay"] == 0


def test_momentum_and_decay_are_the_recipes(size):
    groups = groups_by_name(Recognizer(size, Charset("ab")), betas=(0.7, 0.8), weight_decay=0.2)
    assert {group["betas"] for group in groups.values()} == {(0.7, 0.8)}
    assert {group["weight_decay"] for group in groups.values()} == {0.2, 0.0}


def test_lower_blocks_learn_slower_by_the_layer_decay(size):
    rates = {
        name: group["lr"] for name, group in groups_by_name(Recognizer(size, Charset("ab")), layer_decay=0.5).items()
    }
    assert rates["decoder.classifier.weight"] == pytest.approx(2e-3)  # scaled to a batch of 512
    assert rates["encoder.norm.weight"] == pytest.approx(2e-3)
    assert rates["encoder.blocks.1.attn.qkv.weight"] == pytest.approx(1e-3)
    assert rates["encoder.blocks.0.attn.qkv.weight"] == pytest.approx(0.5e-3)
    assert rates["encoder.patch_embed.proj.weight"] == pytest.approx(0.25e-3)


def test_the_encoder_learns_by_a_factor_of_its_own_on_top_of_the_layer_decay(size):
    groups = groups_by_name(Recognizer(size, Charset("ab")), layer_decay=0.5, encoder_learning_rate=0.1)
    rates = {name: group["lr"] for name, group in groups.items()}
    assert rates["decoder.classifier.weight"] == rates["linear_norm.0.weight"] == pytest.approx(2e-3)
    assert rates["encoder.norm.weight"] == pytest.approx(2e-4)
    assert rates["encoder.blocks.0.attn.qkv.weight"] == pytest.approx(0.5e-4)


@pytest.mark.parametrize(("done", "rate"), [(0, 0.0), (2, 0.0), (3, 2e-3)])
def test_the_encoder_learns_nothing_before_its_first_step(size, done, rate):
    groups = groups_by_name(Recognizer(size, Charset("ab")), done, freeze_encoder_steps=3)
    assert groups["encoder.blocks.1.attn.qkv.weight"]["lr"] == groups["encoder.norm.weight"]["lr"] == rate
    assert groups["decoder.classifier.weight"]["lr"] == groups["decoder.layer_norm.weight"]["lr"] == 2e-3


def test_groups_are_those_of_earlier_versions_where_the_encoder_is_nothing_special(size):
    """So that a run that an earlier version stopped goes on: its groups have no `first`."""
    recipe = OptimizationParams(steps=1, warmup_steps=0, base_learning_rate=1e-3, batch_size=512, **ADAMW)
    optimizer = build_optimizer(Recognizer(size, Charset("ab")), recipe)
    assert [group["scale"] for group in optimizer.param_groups] == [1.0, 1.0]
    saved = optimizer.state_dict()
    for group in saved["param_groups"]:
        del group["first"]
    optimizer.load_state_dict(saved)
    set_learning_rate(optimizer, 1e-3, 0)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 1e-3]


def test_a_stem_learns_as_slowly_as_the_patches_behind_it(size):
    stem = size.model_copy(update={"stem": ((8, 2, 2), (8, 4, 2))})
    groups = groups_by_name(Recognizer(stem, Charset("ab")), layer_decay=0.5)
    of_stem = {name: group for name, group in groups.items() if ".stem." in name}
    assert len(of_stem) == 2 * 3  # weight, bias and gain of two convolutions
    assert all(group["lr"] == pytest.approx(0.25e-3) for group in of_stem.values())
    decayed = {name.rpartition(".")[2] for name, group in of_stem.items() if group["weight_decay"]}
    assert decayed == {"weight", "gain"}


def test_the_average_of_the_weights_is_exponential_and_forgets_the_first_steps_sooner():
    module = torch.nn.Linear(1, 1, bias=False)
    average, expected = AveragedModel(module), 0.0
    for step in range(1, 60):
        torch.nn.init.constant_(module.weight, step)
        update_average(average, module, 0.8, step)
        decay = min(0.8, (1 + step) / (10 + step)) if step > 1 else 0.0
        expected = decay * expected + (1 - decay) * step
    assert average.module.weight.item() == pytest.approx(expected)
    assert 59 - average.module.weight.item() == pytest.approx(4.0, abs=0.01)  # 0.8 / (1 - 0.8) steps behind
