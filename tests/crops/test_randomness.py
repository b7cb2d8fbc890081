"""Randomness belongs to the seed, the stream, the epoch and the crop, and to nothing else."""

import numpy as np
import pytest

from lmim_kedro.crops.randomness import derive_seed, permutation, uniform

FROZEN = [[0.11054623126983643, 0.9168691039085388], [0.2260345220565796, 0.3148379325866699]]
FROZEN_SEED = 2250116526275059154
GIVEN = {"seed": 1, "stream": "views", "epoch": 2}


def test_numbers_of_a_crop_do_not_depend_on_its_batch():
    together = uniform(5, **GIVEN, index=np.array([7, 3, 9]))
    np.testing.assert_array_equal(together[1:2], uniform(5, **GIVEN, index=np.array([3])))


@pytest.mark.parametrize("change", [{"seed": 2}, {"stream": "masking"}, {"epoch": 3}])
def test_every_argument_changes_them(change):
    index = np.arange(1000)
    one, other = uniform(4, **GIVEN, index=index), uniform(4, **{**GIVEN, **change}, index=index)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05


def test_they_are_uniform_and_independent():
    numbers = uniform(50, **GIVEN, index=np.arange(4000))
    assert numbers.dtype == np.float32 and numbers.min() >= 0 and numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.005 and abs(numbers.var() - 1 / 12) < 0.002
    columns = np.corrcoef(numbers.T) - np.eye(50)
    assert np.abs(columns).max() < 0.08
    neighbors = np.corrcoef(numbers[:-1].ravel(), numbers[1:].ravel())[0, 1]
    assert abs(neighbors) < 0.01
    histogram = np.histogram(numbers, 20, (0, 1))[0] / numbers.size
    assert np.abs(histogram - 0.05).max() < 0.003


def test_the_same_numbers_come_on_every_machine():
    np.testing.assert_allclose(uniform(2, **GIVEN, index=np.array([0, 10**9])), FROZEN, rtol=0)
    assert derive_seed(1, "order", 2) == FROZEN_SEED


def test_an_order_is_a_permutation_of_its_own_for_each_epoch():
    one, other = (permutation(1000, seed=1, stream="order", epoch=epoch) for epoch in range(2))
    assert sorted(one) == sorted(other) == list(range(1000))
    assert (one != other).mean() > 0.9
