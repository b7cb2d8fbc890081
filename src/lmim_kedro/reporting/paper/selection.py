"""Choose which of many runs a figure shows. `runs`: for each variant and seed, a function that loads the result."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lmim_kedro.reporting.paper.tables import METHODS

Runs = Mapping[tuple[str, int], Callable[[], Any]]

_SHOWN = 4
"""Variants in a picture where none of the paper's methods has been run."""


def first_seeds(runs: Runs) -> dict[str, Callable[[], Any]]:
    """The function that loads the smallest seed, by variant."""
    return {variant: runs[variant, min(seed for name, seed in runs if name == variant)] for variant, _ in runs}


def methods(runs: Runs) -> dict[str, str]:
    """Titles by variant: the paper's methods that were run, or a few variants if none was.

    Example:
        >>> methods({("lmim", 0): dict, ("mim", 0): dict, ("mim", 1): dict})
        {'mim': 'MIM', 'lmim': 'LMIM'}
    """
    variants = list(dict.fromkeys(variant for variant, _ in runs))
    found = {variant: title for variant, title in METHODS.items() if variant in variants}
    return found or {variant: variant for variant in variants[:_SHOWN]}


def arrays_of_methods(runs: Runs) -> dict[str, Any]:
    """Arrays of the first seed by title of the method, without methods that have none."""
    first = first_seeds(runs)
    loaded = {title: first[variant]() for variant, title in methods(runs).items()}
    return {title: arrays for title, arrays in loaded.items() if arrays}


def neighbors_by_cls(runs: Runs) -> dict[str, dict[str, Any]]:
    """Nearest crops by [cls] before alignment (the teacher), without it and after it, or those of the last method.

    Args:
        runs: arrays from evaluation.cls.look_at_cls.

    Returns: arguments of reporting.paper.figures.draw_neighbors by title, all for LMIM's queries.
    """
    first = first_seeds(runs)
    aligned, unaligned = (first[name]() if name in first else {} for name in ("lmim", "no_alignment"))
    sides = [(title, own, "encoder") for title, own in list(arrays_of_methods(runs).items())[-1:]]
    if aligned:
        if unaligned and not np.array_equal(unaligned["queries"], aligned["queries"]):
            unaligned = {}  # evaluated on other crops
        after = ("after: LMIM", aligned, "encoder")
        sides = [("before: teacher", aligned, "teacher"), ("not aligned", unaligned, "encoder"), after]
    return {
        title: {name: own[name] for name in ("queries", "query_labels")}
        | {"neighbors": own[side], "labels": own[f"{side}_labels"], "cosines": own[f"{side}_cosines"]}
        for title, own, side in sides
        if side in own
    }
