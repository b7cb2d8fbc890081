"""Baselines train as long as teacher and LMIM together, in crops or in operations."""

import pytest
from torch.nn import functional

from lmim_kedro.errors import InputError
from lmim_kedro.params import FinetuningParams, ModelParams, OptimizationParams, PretrainingParams, ViewPreset
from lmim_kedro.recipe import Recipe
from lmim_kedro.training.budget import step_operations, with_budget

ADAMW = {"betas": (0.9, 0.95), "weight_decay": 0.05, "layer_decay": 1.0}

SIZE = ModelParams(width=32, depth=2, heads=2, decoder_width=32, decoder_heads=2, decoder_ffn=64)


def recipe(**changes) -> Recipe:
    teacher = OptimizationParams(epochs=2, batch_size=10, warmup_steps=1, base_learning_rate=1e-3, **ADAMW)
    own = OptimizationParams(steps=30, batch_size=10, warmup_steps=1, base_learning_rate=1e-3, **ADAMW)
    pretraining = PretrainingParams.model_validate(
        {"method": "mim", "mask_ratio": 0.75, "teacher": {"optimization": teacher}, "optimization": own, **changes}
    )
    return Recipe(
        variant="mim",
        env="test",
        seed=0,
        model_name="small",
        model=SIZE,
        views=ViewPreset(),
        views_name="medium",
        pretraining=pretraining,
        finetuning=FinetuningParams(optimization=own),
    )


def steps(given: Recipe, crops: int = 100) -> int | None:
    return with_budget(given, crops).pretraining.optimization.steps


def test_its_own_budget_changes_nothing():
    assert with_budget(recipe(), 100) == recipe()


def test_crops_adds_those_that_the_teacher_saw():
    assert steps(recipe(budget="crops")) == (2 * 100 + 30 * 10) / 10
    assert steps(recipe(budget="crops"), crops=109) == (2 * 100 + 30 * 10) / 10, "an epoch is of whole batches"


def test_operations_of_attention_are_counted(monkeypatch):
    given = recipe()
    whole = step_operations(given, given.pretraining)

    def without_products(q, k, v, *_, **__):
        return q + (k + v)[..., : q.shape[-2], :]

    monkeypatch.setattr(functional, "scaled_dot_product_attention", without_products)
    kept, tokens = 1 + SIZE.tokens // 4, 1 + SIZE.tokens  # MIM's encoder sees a quarter, its decoder all
    pairs = SIZE.depth * kept**2 + tokens**2 + (tokens - kept) * tokens  # the last block is asked for what was removed
    products, backward, multiply_and_add = 2, 3, 2
    expected = products * backward * multiply_and_add * pairs * SIZE.width
    assert whole - step_operations(given, given.pretraining) == pytest.approx(expected, rel=1e-6)


def test_operations_of_a_stem_are_counted():
    columns = SIZE.model_copy(update={"patch_height": 32, "position_grid": "layout"})
    stem = columns.model_copy(update={"stem": ((8, 2, 2), (16, 4, 2))})
    given = recipe()
    plain, whole = (
        step_operations(given.model_copy(update={"model": size}), given.pretraining) for size in (columns, stem)
    )
    products = 16 * 64 * 8 * 27 + 4 * 32 * 16 * 8 * 9 + 32 * 32 * 16 * 4  # places x features x what each looks at
    forward_and_weights = 2  # the pixels need no gradient, and the last two convolutions pass theirs on
    passed_on = 4 * 32 * 16 * 8 * 9 + 32 * 32 * 16 * 4
    patches = 2 * 32 * 32 * (32 * 4 * 3)
    assert whole - plain == pytest.approx(2 * (forward_and_weights * products + passed_on - patches))


def test_length_is_a_factor():
    assert steps(recipe(length=2.0)) == 60
    assert steps(recipe(length=2.0, budget="crops")) == (2 * 100 + 60 * 10) / 10


def test_compute_is_refused_for_a_method_whose_operations_are_not_counted():
    with pytest.raises(InputError, match="not of seqclr: choose crops or own"):
        with_budget(recipe(method="seqclr", budget="compute"), 100)


def test_no_pretraining_has_no_length():
    none = recipe(method="none", budget="compute", length=2.0)
    assert with_budget(none, 100) == none


def test_compute_gives_more_steps_than_crops_as_lmim_costs_more_than_mim():
    given = recipe(budget="compute")
    mim = step_operations(given, given.pretraining)
    lmim = step_operations(given, given.pretraining.model_copy(update={"method": "lmim", "mask_ratio": 0.8}))
    assert lmim > 2 * mim  # a second branch and a teacher, both on whole crops
    assert steps(given) == pytest.approx((2 * 100 * 1 + 30 * 10 * lmim / mim) / 10, rel=0.02)
    assert steps(given) > steps(recipe(budget="crops"))
