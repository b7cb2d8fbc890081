"""The random numbers of one crop: a function of its key alone, cheap enough for a hundred draws a crop."""

import hashlib
import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import Generic, TypeVar

import numpy as np

Thing = TypeVar("Thing")
_NOISE_SHAPE = (512, 2048)


class Draws:
    """Numbers drawn for one crop, in the order in which they are asked for.

    Args:
        key: what tells the crop from all others, as (seed, split, number).

    Example:
        >>> Draws(0, 1).uniform(0, 10) == Draws(0, 1).uniform(0, 10)
        True
    """

    def __init__(self, *key: int) -> None:
        digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
        self.share = random.Random(int.from_bytes(digest, "little")).random
        """A number in [0, 1): Python keeps this sequence the same in all its versions."""

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.share() < probability

    def uniform(self, low: float, high: float) -> float:
        """A number between two others."""
        return low + (high - low) * self.share()

    def about_zero(self, most: float) -> float:
        """A number from -most to most, small ones more often: the sum of two uniform ones."""
        return most * (self.share() + self.share() - 1)

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int((high - low + 1) * self.share())

    def pick(self, things: Sequence[Thing]) -> Thing:
        """One of some things, all as often."""
        return things[int(len(things) * self.share())]

    def weighted(self, choice: "Choice[Thing]") -> Thing:
        """One of some things, by their weights."""
        return choice.things[min(bisect_right(choice.edges, self.share() * choice.edges[-1]), len(choice.things) - 1)]

    def noise(self, height: int, width: int) -> np.ndarray:
        """Normal noise, (height, width) float32: a piece of one large field, since drawing it anew takes long."""
        field = _noise_field()
        if height > field.shape[0] or width > field.shape[1]:
            field = np.tile(field, (-(-height // field.shape[0]), -(-width // field.shape[1])))
        top, left = self.integer(0, field.shape[0] - height), self.integer(0, field.shape[1] - width)
        return field[top : top + height, left : left + width]


@cache
def _noise_field() -> np.ndarray:
    return np.random.Generator(np.random.PCG64(0)).standard_normal(_NOISE_SHAPE, dtype=np.float32)


class Choice(Generic[Thing]):
    """Things with weights, to draw from.

    Example:
        >>> Draws(0).weighted(Choice({"never": 0, "always": 2}))
        'always'
    """

    def __init__(self, weights: Mapping[Thing, float]) -> None:
        self.things = list(weights)
        self.edges = list(accumulate(weights.values()))

    def __len__(self) -> int:
        return len(self.things)

    def __iter__(self) -> Iterator[Thing]:
        return iter(self.things)
