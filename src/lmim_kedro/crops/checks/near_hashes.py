"""Which 64-bit hashes are nearly the same: between two sets, and within one. Millions at a time, in NumPy."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

_BANDS = 4
_WIDTH = 16
_BLOCK = 250_000
"""Pairs compared at once: 2 MB of them, which a core has in its cache."""

_FEW = 400_000_000
"""Pairs that are sooner all compared than sorted into bands."""

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Left index, right index and distance of each pair, int64."""


def near_pairs(left: np.ndarray, right: np.ndarray, max_distance: int) -> Pairs:
    """Find all pairs of a hash of `left` and one of `right` that differ in at most `max_distance` bits: none is missed.

    The hashes are cut into 4 bands of 16 bits. Two that differ in d bits differ in at most d // 4 bits in one of them,
    so only those are compared whose bands are that near (multi-index hashing, Norouzi et al., CVPR 2012). Each hash
    is looked up once, however often it occurs.

    Args:
        left: (N,) uint64, the large set.
        right: (M,) uint64, the small one.
        max_distance: bits.

    Returns:
        left index, right index and distance of each pair, (P,) int64 each, sorted by left, then right index.

    Example:
        >>> left, right, distance = near_pairs(np.array([0, 255], np.uint64), np.array([1, 3], np.uint64), 2)
        >>> left.tolist(), right.tolist(), distance.tolist()
        ([0, 0], [0, 1], [1, 2])
    """
    ours, theirs = _Distinct(left), _Distinct(right)
    if len(ours.hashes) * len(theirs.hashes) <= _FEW:
        candidates = _near(ours.hashes, theirs.hashes, max_distance)
    else:
        candidates = _near_in_bands(ours.hashes, theirs.hashes, max_distance)
    found = [np.empty((2, 0), np.int64), *candidates]
    # One number per pair: a pair that several bands find is kept once, and the order is by left, then right.
    codes = np.unique(np.concatenate([mine * len(theirs.hashes) + other for mine, other in found]))
    mine, other = np.divmod(codes, max(len(theirs.hashes), 1))
    # From distinct hashes back to crops: each pair of hashes is one of every left crop with every right crop.
    counts = ours.counts[mine] * theirs.counts[other]
    pair = np.repeat(np.arange(len(counts)), counts)
    member = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    a, b = np.divmod(member, theirs.counts[other][pair])
    lefts = ours.order[ours.starts[mine[pair]] + a]
    rights = theirs.order[theirs.starts[other[pair]] + b]
    distance = _distance(left[lefts], right[rights])
    rank = np.lexsort((rights, lefts))
    return lefts[rank], rights[rank], distance[rank]


def near_neighbors(hashes: np.ndarray, max_distance: int, window: int = 8) -> Pairs:
    """Find hashes of one set that are nearly the same: enough pairs to join clusters, not all of them.

    Sorted with each band in front, near hashes are next to each other in at least one of the orders; each is compared
    with the `window` hashes after it. So time and memory are linear in the number of hashes, however large the
    clusters are. Equal hashes are joined in a chain.

    Args:
        hashes: (N,) uint64.
        max_distance: bits.
        window: neighbors in each order.

    Returns:
        as near_pairs; the left index is the smaller one.

    Example:
        >>> left, right, _ = near_neighbors(np.array([7, 2**63, 7, 6], np.uint64), 1)
        >>> list(zip(left.tolist(), right.tolist()))
        [(0, 2), (0, 3)]
    """
    distinct = _Distinct(hashes)
    firsts = distinct.order[distinct.starts]
    chained = np.flatnonzero(hashes[distinct.order[1:]] == hashes[distinct.order[:-1]])
    lefts, rights = [distinct.order[chained]], [distinct.order[chained + 1]]
    for band in range(_BANDS):
        # Rotating the bits puts another band first, where it decides the order.
        turn = np.uint64(_WIDTH * band), np.uint64((64 - _WIDTH * band) % 64)
        rank = np.argsort((distinct.hashes << turn[0]) | (distinct.hashes >> turn[1]), kind="stable")
        ranked = distinct.hashes[rank]
        for step in range(1, min(window, len(ranked) - 1) + 1):
            near = np.flatnonzero(_distance(ranked[:-step], ranked[step:]) <= max_distance)
            lefts.append(firsts[rank[near]])
            rights.append(firsts[rank[near + step]])
    ends = np.concatenate(lefts), np.concatenate(rights)
    # The smaller index first, so that a pair found from both sides is one.
    codes = np.unique(np.minimum(*ends) * len(hashes) + np.maximum(*ends))
    left, right = np.divmod(codes, max(len(hashes), 1))
    return left, right, _distance(hashes[left], hashes[right])


def join(count: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return for each of `count` things the smallest index among all that it is joined with, directly or not: (count,).

    Args:
        count: things, numbered from 0.
        left, right: (P,) indices of the pairs.

    Example:
        >>> join(5, np.array([3, 1]), np.array([4, 3])).tolist()
        [0, 1, 2, 1, 1]
    """
    pairs = csr_array((np.ones(len(left), bool), (left, right)), shape=(count, count))
    _, part = connected_components(pairs, directed=False)
    return np.unique(part, return_index=True)[1][part]


class _Distinct:
    """The distinct `hashes` of a set, sorted; those of hash i are at `order[starts[i]:][:counts[i]]` of the set."""

    def __init__(self, hashes: np.ndarray) -> None:
        self.order = np.argsort(hashes, kind="stable")
        self.hashes, self.starts, self.counts = np.unique(hashes[self.order], return_index=True, return_counts=True)


def _near_in_bands(left: np.ndarray, right: np.ndarray, max_distance: int) -> Iterator[np.ndarray]:
    """Yield (2, pairs) indices: compare only hashes that are near in a band."""
    radius = max_distance // _BANDS
    # All values that differ from a band in at most `radius` bits: exact look-ups then find the near ones.
    flips = [sum(1 << bit for bit in bits) for n in range(radius + 1) for bits in combinations(range(_WIDTH), n)]
    edges = np.arange((1 << _WIDTH) + 1)
    for band in range(_BANDS):
        ours, theirs = _band(left, band), (_band(right, band)[:, None] ^ np.array(flips)).ravel()
        our_order, their_order = np.argsort(ours, kind="stable"), np.argsort(theirs, kind="stable")
        ours_cut = np.searchsorted(ours[our_order], edges)
        theirs_cut = np.searchsorted(theirs[their_order], edges)
        their_order //= len(flips)  # from a flipped value back to its hash
        filled = np.flatnonzero((np.diff(ours_cut) > 0) & (np.diff(theirs_cut) > 0))
        for value in filled:
            mine = our_order[ours_cut[value] : ours_cut[value + 1]]
            other = their_order[theirs_cut[value] : theirs_cut[value + 1]]
            for pairs in _near(left[mine], right[other], max_distance):
                yield np.stack([mine[pairs[0]], other[pairs[1]]])


def _near(left: np.ndarray, right: np.ndarray, max_distance: int) -> Iterator[np.ndarray]:
    """Compare all with all, a block at a time; yield (2, pairs) indices."""
    rows = max(1, _BLOCK // max(len(right), 1))
    for start in range(0, len(left), rows):
        close = np.bitwise_count(left[start : start + rows, None] ^ right) <= max_distance
        if close.any():
            mine, other = np.nonzero(close)
            yield np.stack([mine + start, other])


def _band(hashes: np.ndarray, band: int) -> np.ndarray:
    return ((hashes >> np.uint64(_WIDTH * band)) & np.uint64((1 << _WIDTH) - 1)).astype(np.int64)


def _distance(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.bitwise_count(left ^ right).astype(np.int64)
