"""Attention maps are those of the patches that they say they are of."""

import numpy as np
import torch

from lmim_kedro.evaluation.attention import attention_maps
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.params import ModelParams


class FixedAttention(torch.nn.Module):
    """Attention (B, 1 + N, 1 + N) whose every entry is a number of its own."""

    def __init__(self, model: ModelParams) -> None:
        super().__init__()
        self.model = model

    def attention(self, images: torch.Tensor) -> torch.Tensor:
        side = 1 + self.model.tokens
        return torch.arange(len(images) * side * side, dtype=torch.float64).view(-1, side, side) + 1


def test_maps_are_rows_of_the_queries_without_cls_and_sum_to_one(released_size: ModelParams, noisy_crops) -> None:
    size, queries = released_size, 3
    found = attention_maps(FixedAttention(size), noisy_crops(4), np.array([2, 0]), queries, torch.device("cpu"))
    assert found["queries"].shape == (2, queries, 2) and found["maps"].shape == (2, queries, size.rows, size.columns)
    columns = [round((size.columns - 1) * part / (queries + 1)) for part in (1, 2, 3)]
    assert found["queries"][0].tolist() == found["queries"][1].tolist() == [[size.rows // 2, c] for c in columns]
    side = 1 + size.tokens
    for number in range(2):
        for query, column in enumerate(columns):
            row = 1 + (size.rows // 2) * size.columns + column
            expected = number * side * side + row * side + np.arange(1, side) + 1.0
            assert np.allclose(found["maps"][number, query].ravel(), expected / expected.sum())
    from lmim_kedro.crops.pixels import decode_batch

    crops = noisy_crops(4)
    assert np.array_equal(found["crops"], decode_batch(crops.fetch([2, 0]), size.image_height, size.image_width)[0])


def test_attention_of_an_encoder_has_the_form_of_its_patches(columns_size: ModelParams, noisy_crops) -> None:
    found = attention_maps(Encoder(columns_size), noisy_crops(2), np.array([0]), 2, torch.device("cpu"))
    assert np.allclose(found["maps"].sum((-2, -1)), 1, atol=1e-5)
