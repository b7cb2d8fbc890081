from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lmim_kedro.evaluation.cls import Features, effective_rank, encode, look_at_cls, nearest, spaced, statistics
from lmim_kedro.evaluation.reconstruction import reconstruct
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.params import ModelParams, PretrainingParams

CPU = torch.device("cpu")


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


def test_statistics_are_those_of_the_encoders_features(columns_size: ModelParams, noisy_crops: Any) -> None:
    encoder, crops = Encoder(columns_size), noisy_crops(12)
    found, arrays = look_at_cls(
        {"encoder": encoder, "teacher": None},
        crops,
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
    released_size: ModelParams, recipe: PretrainingParams, noisy_crops: Any
) -> None:
    found = reconstruct(pretrained(released_size, recipe), noisy_crops(3), np.arange(3), CPU)
    assert "predicted" not in found
    similarity = found["similarity"]
    assert similarity.shape == (3, 8, 32)
    assert np.isnan(similarity).sum() == 3 * 51  # kept: int(256 * 0.2)
    assert np.nanmax(np.abs(similarity)) <= 1 + 1e-6
    removed = ~np.isnan(similarity[0]).repeat(4, 0).repeat(4, 1)
    assert (found["masked"][0][:, removed] == 128).all()
    assert (found["masked"][0][:, ~removed] == found["crops"][0][:, ~removed]).all()


def test_a_perfect_prediction_of_pixels_gives_the_crop_back(
    released_size: ModelParams, recipe: PretrainingParams, monkeypatch: pytest.MonkeyPatch, noisy_crops: Any
) -> None:
    model = pretrained(released_size, recipe, method="mim", mask_ratio=0.75)
    crops = noisy_crops(2)
    from lmim_kedro.crops.pixels import decode_batch

    images = torch.from_numpy(decode_batch(crops.fetch(range(2)), 32, 128)[0]).float() / 127.5 - 1
    monkeypatch.setattr(model, "decode", lambda latent, guide, parts: model.target(images, parts.removed))
    found = reconstruct(model, crops, np.arange(2), CPU)
    assert np.abs(found["predicted"].astype(int) - found["crops"]).max() <= 1
    assert (found["masked"] == 128).mean() > 0.7


def test_gray_input_is_shown_as_gray(columns_size: ModelParams, recipe: PretrainingParams, noisy_crops: Any) -> None:
    model = pretrained(columns_size, recipe, method="mim", mask_ratio=0.6)
    found = reconstruct(model, noisy_crops(2), np.arange(2), CPU)
    assert found["predicted"].shape == (2, 3, 32, 128)
    assert (found["predicted"][:, 0] == found["predicted"][:, 1]).all()


def test_gray_is_drawn_at_42_levels_a_deviation(
    columns_size: ModelParams, recipe: PretrainingParams, noisy_crops: Any
) -> None:
    model = pretrained(columns_size, recipe, method="mim", mask_ratio=0.6)
    crops = noisy_crops(2)
    found = reconstruct(model, crops, np.arange(2), CPU)
    from lmim_kedro.crops.pixels import decode_batch

    images = torch.from_numpy(decode_batch(crops.fetch(range(2)), 32, 128)[0]).float() / 127.5 - 1
    gray = model.encoder.patch_embed.pixels(images)
    expected = (127.5 + 42 * gray).round().clamp(0, 255).byte().expand(-1, 3, -1, -1).numpy()
    removed = (found["masked"] == 128).all(1, keepdims=True).repeat(3, 1)
    assert 0.5 < removed.mean() < 0.7
    assert np.array_equal(found["masked"][~removed], expected[~removed])
    assert np.array_equal(found["predicted"][~removed], expected[~removed]), "patches that were kept are the crop's"


def test_flat_patches_are_predicted_without_an_infinite_scale(
    released_size: ModelParams, recipe: PretrainingParams, monkeypatch: pytest.MonkeyPatch, noisy_crops: Any
) -> None:
    model, crops = pretrained(released_size, recipe, method="mim", mask_ratio=0.75), noisy_crops(1, flat=60)
    monkeypatch.setattr(model, "decode", lambda latent, guide, parts: torch.ones(1, parts.removed.shape[1], 48))
    found = reconstruct(model, crops, np.arange(1), CPU)
    assert np.abs(found["predicted"].astype(int) - 60).max() <= 1, "its deviation is 0, so only its mean is left"


def test_similarity_is_the_cosine_of_each_removed_patch_at_its_place(
    released_size: ModelParams, recipe: PretrainingParams, monkeypatch: pytest.MonkeyPatch, noisy_crops: Any
) -> None:
    model = pretrained(released_size, recipe)
    places: dict[str, torch.Tensor] = {}

    def decode(latent: Any, guide: Any, parts: Any) -> torch.Tensor:
        places["removed"] = parts.removed
        turned = torch.zeros(*parts.removed.shape, 384)
        angle = parts.removed / 256
        turned[..., 0], turned[..., 1] = angle.cos(), angle.sin()
        return turned

    axis = torch.zeros(384)
    axis[0] = 2.0
    monkeypatch.setattr(model, "decode", decode)
    monkeypatch.setattr(model, "target", lambda images, removed: axis.expand(*removed.shape, -1))
    similarity = reconstruct(model, noisy_crops(2), np.arange(2), CPU)["similarity"].reshape(2, -1)
    for own, removed in zip(similarity, places["removed"].numpy(), strict=True):
        assert own[removed] == pytest.approx(np.cos(removed / 256), abs=1e-5)
        assert np.isnan(np.delete(own, removed)).all()


def test_spread_and_rank_have_six_and_three_decimals() -> None:
    cls = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]])
    found = statistics(Features(cls, np.diag([1 / 9, 1 / 4])))
    assert (found["crops"], found["width"]) == (3, 2)
    assert found["cls"] == {"std": 0.816497, "effective_rank": 1.755}
    assert found["patches"] == {"std": 0.416667, "effective_rank": 1.854}


def test_cosines_are_those_of_what_is_left_without_the_mean() -> None:
    cls = np.array([[3.0, 0.0], [0.0, 4.0], [-3.0, 0.0], [0.0, -4.0], [2.0, 2.0], [-2.0, -2.0]], np.float32) + 5
    rows, cosines = nearest(cls, np.array([0, 4]), 3)
    assert rows[0, 0] == 4 and sorted(rows[0, 1:].tolist()) == [1, 3]
    assert cosines[0] == pytest.approx([0.5**0.5, 0, 0], abs=1e-6)
    assert sorted(rows[1, :2].tolist()) == [0, 1] and cosines[1, :2] == pytest.approx([0.5**0.5] * 2)
    same = nearest(np.ones((3, 2)), np.array([0]), 2)[1]
    assert same.tolist() == [[0, 0]], "without a direction there is no cosine, and no division by zero"


def test_shown_neighbors_are_the_nearest_of_evenly_spaced_crops(columns_size: ModelParams, noisy_crops: Any) -> None:
    encoder, crops = Encoder(columns_size), noisy_crops(9)
    own: dict[str, Any] = {"batch_size": 4, "device": CPU}
    found, arrays = look_at_cls({"encoder": encoder}, crops, **own, queries=2, neighbors=3)
    assert arrays["query_labels"].tolist() == ["word2", "word5"], "neither the first nor the last"
    cls = encode(encoder, crops, np.arange(9), 4, CPU).cls
    rows, cosines = nearest(cls, np.array([2, 5]), 3)
    assert arrays["encoder_labels"].tolist() == [[f"word{row}" for row in near] for near in rows]
    assert arrays["encoder_cosines"] == pytest.approx(cosines, abs=1e-6)
    from lmim_kedro.crops.pixels import decode_batch

    assert np.array_equal(arrays["encoder"][1, 2], decode_batch(crops.fetch([rows[1, 2]]), 32, 128)[0][0])
    few, arrays = look_at_cls({"encoder": encoder}, noisy_crops(3), **own, queries=2)
    assert arrays["query_labels"].tolist() == ["word0", "word1"] and arrays["encoder"].shape[1] == 2
    assert look_at_cls({"encoder": encoder}, noisy_crops(4), **own, queries=2)[1]["query_labels"].tolist() == [
        "word1",
        "word2",
    ]


def test_features_do_not_depend_on_the_size_of_batches(columns_size: ModelParams, noisy_crops: Any) -> None:
    encoder, crops = Encoder(columns_size), noisy_crops(5)
    one, other = (encode(encoder, crops, np.array([4, 0, 3]), size, CPU) for size in (1, 3))
    assert one.cls == pytest.approx(other.cls, abs=1e-5)
    assert one.patch_covariance == pytest.approx(other.patch_covariance, abs=1e-5)


def test_at_most_a_thousand_crops_are_looked_at() -> None:
    assert len(spaced(5000)) == 1000 and spaced(5000)[[0, -1]].tolist() == [0, 4999]
