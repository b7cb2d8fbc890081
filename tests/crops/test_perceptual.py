"""The perceptual hash stays nearly the same when a crop is altered, and not when it is another one."""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np
import pytest

from lmim_kedro.crops.perceptual import hashes_as_numbers, perceptual_hash


def bits_between(one: np.ndarray, other: np.ndarray) -> int:
    left, right = hashes_as_numbers([perceptual_hash(one), perceptual_hash(other)])
    return int(np.bitwise_count(left ^ right))


@pytest.mark.parametrize(
    "alter",
    [
        lambda image: cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 1),
        lambda image: cv2.resize(image, (image.shape[1] * 32 // image.shape[0], 32), interpolation=cv2.INTER_AREA),
        lambda image: cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
        lambda image: cv2.convertScaleAbs(image, alpha=1, beta=30),
        lambda image: cv2.convertScaleAbs(image, alpha=0.6, beta=20),
    ],
    ids=["jpeg", "smaller", "larger", "brighter", "paler"],
)
def test_altered_copies_have_nearly_the_same_hash(words, alter):
    assert max(bits_between(image, alter(image)) for image in map(words.draw, range(20))) <= 6


def test_other_words_have_another_hash(words):
    images = [words.draw(seed) for seed in range(30)]
    assert min(bits_between(*pair) for pair in combinations(images, 2)) > 10


def test_crop_of_one_color_has_the_hash_zero_whatever_the_color():
    for color in (0, 77, 255):
        assert perceptual_hash(np.full((9, 31, 3), color, np.uint8)) == "0" * 16


def test_one_pixel_and_one_line_can_be_hashed():
    assert len(perceptual_hash(np.zeros((1, 1, 3), np.uint8))) == 16
    assert len(perceptual_hash(np.arange(300, dtype=np.uint8).reshape(1, 100, 3))) == 16


def test_hashes_become_numbers_of_64_bits_one_or_two_of_them():
    assert hashes_as_numbers(["0" * 15 + "a", "8" + "0" * 15]).tolist() == [10, 2**63]
    assert hashes_as_numbers(["0" * 15 + "1" + "0" * 15 + "2"]).tolist() == [[1, 2]]
    assert hashes_as_numbers([]).shape == (0,)
