from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lmim_kedro.evaluation.cls import Features, effective_rank, look_at_cls, nearest, spaced, statistics
from lmim_kedro.evaluation.reconstruction import reconstruct
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.params import ModelParams, PretrainingParams

CPU = torch.device("cpu")


class NoisyCrops:
    """A labeled store of random crops."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def fetch(self, indices: Sequence[int]) -> list[bytes]:
        return [self.encoded(int(index)) for index in indices]

    def labels(self, indices: Sequence[int]) -> list[str]:
        return [f"word{int(index)}" for index in indices]

    @staticmethod
    def encoded(index: int) -> bytes:
        noise = np.random.default_rng(index).integers(0, 255, (8, 32, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(noise).resize((128, 32)).save(file, "PNG")
        return file.getvalue()


def features(cls: np.ndarray) -> Features:
    return Features(cls, np.eye(cls.shape[1]))


def test_effective_rank_counts_the_directions_in_which_features_vary() -> None:
    assert effective_rank(np.diag([2.0, 2.0, 2.0, 0.0])) == pytest.approx(3)
    assert effective_rank(np.diag([1.0, 1e-9, 1e-9])) == pytest.approx(1, abs=1e-4)
    assert effective_rank(np.zeros((3, 3))) == 0


def test_a_collapsed_cls_has_neither_spread_nor_rank() -> None:
    found = statistics(features(np.tile(np.arange(4.0, dtype=np.float32), (10, 1))))
    assert found["cls"] == {"std": 0, "effective_rank": 0}
    assert found["patches"] == {"std": 1, "effective_rank": 4}
    spread = np.random.default_rng(0).normal(0, 2, (5000, 4)).astype(np.float32)
    assert statistics(features(spread))["cls"]["std"] == pytest.approx(2, rel=0.05)


def test_neighbors_are_others_and_do_not_see_what_all_crops_share() -> None:
    cls = np.array([[1.0, 0], [1, 0.1], [-1, 0], [-1, 0.1]]) + 1000
    rows, cosines = nearest(cls, np.array([0, 2]), 5)
    assert rows[:, 0].tolist() == [1, 3]
    assert rows.shape == cosines.shape == (2, 3)
    assert cosines[0, 0] > 0.9 > 0 > cosines[0, 1]


def test_spaced_crops_reach_from_first_to_last() -> None:
    assert spaced(5).tolist() == [0, 1, 2, 3, 4]
    assert spaced(1000, 3).tolist() == [0, 499, 999]


def test_statistics_are_those_of_the_encoders_features(columns_size: ModelParams) -> None:
    encoder, crops = Encoder(columns_size), NoisyCrops(12)
    found, arrays = look_at_cls(
        {"encoder": encoder, "teacher": None},
        crops,  # type: ignore[arg-type]
        batch_size=5,
        device=CPU,
        queries=2,
        neighbors=3,
    )
    from lmim_kedro.crops.pixels import decode_batch

    images = torch.from_numpy(decode_batch(crops.fetch(range(12)), 32, 128)[0]).float() / 127.5 - 1
    with torch.no_grad():
        tokens = encoder(images)
    assert found["teacher"] is None
    assert found["encoder"]["crops"] == 12
    assert found["encoder"]["cls"]["std"] == pytest.approx(tokens[:, 0].std(0, correction=0).mean().item(), abs=1e-5)
    patches = tokens[:, 1:].flatten(0, 1)
    assert found["encoder"]["patches"]["std"] == pytest.approx(patches.std(0, correction=0).mean().item(), rel=1e-4)
    assert arrays["queries"].shape == (2, 3, 32, 128)
    assert arrays["encoder"].shape == (2, 3, 3, 32, 128)
    assert arrays["encoder_labels"].shape == arrays["encoder_cosines"].shape == (2, 3)
    for label, others in zip(arrays["query_labels"], arrays["encoder_labels"], strict=True):
        assert label not in others


def pretrained(size: ModelParams, recipe: PretrainingParams, **changes: Any) -> LMIM:
    changed = recipe.model_copy(update=changes)
    feature_target = changed.method == "lmim" and changed.target != "pixel"
    return LMIM(size, changed, Encoder(size) if feature_target else None)


def test_feature_targets_give_a_cosine_at_removed_patches_alone(
    released_size: ModelParams, recipe: PretrainingParams
) -> None:
    found = reconstruct(pretrained(released_size, recipe), NoisyCrops(3), np.arange(3), CPU)  # type: ignore[arg-type]
    assert "predicted" not in found
    similarity = found["similarity"]
    assert similarity.shape == (3, 8, 32)
    assert np.isnan(similarity).sum() == 3 * 51  # kept: int(256 * 0.2)
    assert np.nanmax(np.abs(similarity)) <= 1 + 1e-6
    removed = ~np.isnan(similarity[0]).repeat(4, 0).repeat(4, 1)
    assert (found["masked"][0][:, removed] == 128).all()
    assert (found["masked"][0][:, ~removed] == found["crops"][0][:, ~removed]).all()


def test_a_perfect_prediction_of_pixels_gives_the_crop_back(
    released_size: ModelParams, recipe: PretrainingParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = pretrained(released_size, recipe, method="mim", mask_ratio=0.75)
    crops = NoisyCrops(2)
    from lmim_kedro.crops.pixels import decode_batch

    images = torch.from_numpy(decode_batch(crops.fetch(range(2)), 32, 128)[0]).float() / 127.5 - 1
    monkeypatch.setattr(model, "decode", lambda latent, guide, parts: model.target(images, parts.removed))
    found = reconstruct(model, crops, np.arange(2), CPU)  # type: ignore[arg-type]
    assert np.abs(found["predicted"].astype(int) - found["crops"]).max() <= 1
    assert (found["masked"] == 128).mean() > 0.7


def test_gray_input_is_shown_as_gray(columns_size: ModelParams, recipe: PretrainingParams) -> None:
    model = pretrained(columns_size, recipe, method="mim", mask_ratio=0.6)
    found = reconstruct(model, NoisyCrops(2), np.arange(2), CPU)  # type: ignore[arg-type]
    assert found["predicted"].shape == (2, 3, 32, 128)
    assert (found["predicted"][:, 0] == found["predicted"][:, 1]).all()
