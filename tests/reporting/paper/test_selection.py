"""Which of many runs a figure shows."""

from typing import Any

import numpy as np

from lmim_kedro.reporting.paper.selection import arrays_of_methods, first_seeds, methods, neighbors_by_cls


def arrays(queries: int, *sides: str) -> dict[str, Any]:
    found: dict[str, Any] = {"queries": np.full(2, queries), "query_labels": np.array(["a", "b"])}
    for side in sides:
        found |= {side: f"{side} crops", f"{side}_labels": f"{side} labels", f"{side}_cosines": f"{side} cosines"}
    return found


def test_first_seed_is_the_smallest_in_whatever_order_runs_come() -> None:
    runs = {("mim", 2): lambda: "two", ("mim", 1): lambda: "one", ("lmim", 3): lambda: "three"}
    assert {variant: load() for variant, load in first_seeds(runs).items()} == {"mim": "one", "lmim": "three"}


def test_methods_come_in_the_papers_order_or_are_the_first_four_variants() -> None:
    runs = {("lmim", 0): dict, ("mask_span", 0): dict, ("scratch", 0): dict}
    assert methods(runs) == {"scratch": "scratch", "lmim": "LMIM"}
    others = {(f"v{number}", seed): dict for number in range(6) for seed in range(2)}
    assert list(methods(others)) == ["v0", "v1", "v2", "v3"]
    found = arrays_of_methods({("lmim", 0): lambda: {"maps": 1}, ("mim", 0): dict})
    assert found == {"LMIM": {"maps": 1}}, "a method without arrays is left out"


def test_neighbors_are_shown_before_without_and_after_alignment() -> None:
    runs = {
        ("lmim", 0): lambda: arrays(1, "encoder", "teacher"),
        ("no_alignment", 0): lambda: arrays(1, "encoder"),
        ("mim", 0): lambda: arrays(2, "encoder"),
    }
    found = neighbors_by_cls(runs)
    assert list(found) == ["before: teacher", "not aligned", "after: LMIM"]
    assert found["before: teacher"]["neighbors"] == "teacher crops"
    assert [found["after: LMIM"][name] for name in ("neighbors", "labels", "cosines")] == [
        "encoder crops", "encoder labels", "encoder cosines",
    ]  # fmt: skip
    others = runs | {("no_alignment", 0): lambda: arrays(3, "encoder")}
    assert list(neighbors_by_cls(others)) == ["before: teacher", "after: LMIM"], "evaluated on other crops"
    assert list(neighbors_by_cls({("lmim", 0): lambda: arrays(1, "encoder")})) == ["after: LMIM"]


def test_without_lmim_the_last_method_is_shown() -> None:
    runs = {(name, 0): lambda: arrays(1, "encoder") for name in ("seqclr", "mim")}
    assert list(neighbors_by_cls(runs)) == ["SeqCLR"]
    assert neighbors_by_cls({}) == {}
