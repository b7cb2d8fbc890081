"""Several looks at each crop, the surest of which counts (test-time augmentation), or the likeliest word of them."""

from collections.abc import Callable
from math import log
from sys import float_info

import cv2
import numpy as np

from lmim_kedro.errors import InputError
from lmim_kedro.text.charset import Charset
from lmim_kedro.text.language import LanguageModel
from lmim_kedro.text.spelling import Reading, collapse_all, several

LOOKS = {1: (0.0,), 3: (0.0, 0.06, -0.035)}
"""Number of looks -> the margin that each adds on all four sides, as a share of the side; negative: cut off."""


def read_surest(read: Callable[[np.ndarray], list[Reading]], images: np.ndarray, looks: int) -> list[Reading]:
    """Read each crop as it is, looser and tighter, and keep the reading of the highest confidence.

    Args:
        read: reads uint8 crops (B, 3, H, W).
        images: (B, 3, H, W) uint8.
        looks: 1 (the crop as it is alone) or 3.

    Returns:
        B readings; of equally sure ones the first look's.

    Errors: InputError for another number of looks.

    Example:
        >>> read = lambda images: [Reading("dark" if image.mean() < 99 else "light", 0.5) for image in images]
        >>> read_surest(read, np.zeros((1, 3, 32, 128), np.uint8), looks=3)[0].text
        'dark'
    """
    margins = _margins(looks)
    if looks == 1 or not len(images):
        return read(images)
    readings = read(np.concatenate([with_margin(images, margin) for margin in margins]))
    of_crop = (readings[number :: len(images)] for number in range(len(images)))
    return [max(some, key=lambda reading: reading.confidence) for some in of_crop]


SURE = 0.9  # confidence of a first look at which no other text is asked for
MIN = float_info.min
LEAST = 0.002  # probability of a symbol that may be part of another text
WEIGHT, LETTER = 0.35, 1.2  # of the language model, and for each character, as every one makes a text less probable
"""Chosen on the training crops of IIIT5K, SVT and IC15 (docs/reading.md)."""


def read_likeliest(
    columns: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    looks: int,
    charset: Charset,
    language: LanguageModel,
    width: int,
) -> list[Reading]:
    """Read each crop as the text that recognizer and language model together find likeliest.

    A crop of which the first look is sure stays as it is read. Of any other one, the most probable texts of all looks
    compete by log p(text | crop) + WEIGHT log p(text) + LETTER characters (shallow fusion of CTC and language model,
    Hannun et al., 2014); a confidence is the recognizer's alone.

    Args:
        columns: uint8 crops (B, 3, H, W) -> probabilities (B, columns, characters + 1), the blank last.
        images: (B, 3, H, W) uint8.
        looks: 1 (the crop as it is alone) or 3.
        charset: of the recognizer.
        language: the language model.
        width: texts of each look that compete.

    Returns: B readings.

    Errors: InputError for another number of looks.
    """
    margins, first = _margins(looks)[1:], columns(images)
    readings = collapse_all(charset, first)
    found: dict[int, list[Reading]] = {}
    for number, reading in enumerate(readings):
        if reading.confidence < SURE:  # of one path; that of its text is higher
            found[number] = several(charset, first[number], width, LEAST)
            if found[number][0].confidence >= SURE:
                readings[number] = found.pop(number)[0]
    if not found:
        return readings
    unsure = images[list(found)]
    for margin in margins:
        for texts, seen in zip(found.values(), columns(with_margin(unsure, margin)), strict=True):
            texts += several(charset, seen, width, LEAST)
    likely = iter(language.log_probabilities([reading.text for texts in found.values() for reading in texts]))
    for number, texts in found.items():
        scores = [log(max(each.confidence, MIN)) + WEIGHT * next(likely) + LETTER * len(each.text) for each in texts]
        readings[number] = texts[int(np.argmax(scores))]
    return readings


def _margins(looks: int) -> tuple[float, ...]:
    if looks not in LOOKS:
        raise InputError(f"looks is {looks}: set it to one of {', '.join(map(str, LOOKS))}")
    return LOOKS[looks]


def with_margin(images: np.ndarray, margin: float) -> np.ndarray:
    """Crops (B, 3, H, W) with a margin on each side, of the same size; the border's pixels go on into it.

    Example:
        >>> crop = np.zeros((1, 3, 32, 128), np.uint8)
        >>> crop[:, :, 0] = 200  # the first row
        >>> [int(with_margin(crop, margin)[0, 0, 1, 64]) for margin in (0.0, 0.06, -0.06)]
        [0, 200, 0]
    """
    if not margin:
        return images
    height, width = images.shape[2:]
    scale = 1 + 2 * margin
    # Centers of pixels lie at halves: x of the result shows (x + 0.5) * scale - margin * width - 0.5 of the crop.
    across = (scale - 1) / 2 - margin * width
    down = (scale - 1) / 2 - margin * height
    shown = np.array([[scale, 0, across], [0, scale, down]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = [
        cv2.warpAffine(image.transpose(1, 2, 0), shown, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for image in images
    ]
    return np.stack(warped).transpose(0, 3, 1, 2)
