"""Counter-based randomness: a function of (seed, stream, epoch, crop index), never of a worker or of the clock."""

import hashlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def derive_seed(seed: int, stream: str, number: int = 0) -> int:
    """A seed of 63 bits for another generator, from a seed, the name of a stream and a number such as a step.

    Example:
        >>> derive_seed(0, "masks", 3) == derive_seed(0, "masks", 3) != derive_seed(0, "views", 3)
        True
    """
    text = f"{seed}/{stream}/{number}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def uniform(n: int, *, seed: int, stream: str, epoch: int, index: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1) for each crop.

    Args:
        n: numbers per crop.
        seed: seed of the run.
        stream: what the numbers are for; streams are independent.
        epoch: number of the pass over the crops.
        index: (B,) int64 crop indices.

    Returns:
        (B, n) float32.

    Example:
        >>> both = uniform(2, seed=0, stream="flip", epoch=1, index=np.array([5, 9]))
        >>> alone = uniform(2, seed=0, stream="flip", epoch=1, index=np.array([9]))
        >>> bool((both[1] == alone[0]).all())
        True
    """
    key = np.uint64(derive_seed(seed, stream, epoch))
    with np.errstate(over="ignore"):  # the products wrap around, as splitmix64's do
        crop = _mix(np.asarray(index, dtype=np.int64).astype(np.uint64) * _GOLDEN + key)
        bits = _mix(crop[:, None] + np.arange(1, n + 1, dtype=np.uint64)[None] * _GOLDEN)
    return (bits >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def permutation(n: int, *, seed: int, stream: str, epoch: int) -> np.ndarray:
    """An order of n crops: (n,) int32, or int64 for more crops than that holds.

    Example:
        >>> sorted(permutation(4, seed=0, stream="order", epoch=0).tolist())
        [0, 1, 2, 3]
    """
    generator = np.random.Generator(np.random.Philox(key=derive_seed(seed, stream, epoch)))
    return generator.permutation(np.arange(n, dtype=np.int32 if n < 2**31 else np.int64))


def _mix(z: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
