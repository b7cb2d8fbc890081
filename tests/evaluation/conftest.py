"""Tests of this folder begin with the same random numbers."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _fixed_randomness() -> None:
    torch.manual_seed(0)
