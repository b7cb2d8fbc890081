from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lmim_kedro.reporting.paper.published import PublishedRow, counterparts, published_accuracy, published_rows
from lmim_kedro.scoring.protocols import get_protocol

WHOLE = [row for row in published_rows() if set(row.accuracies) == set(get_protocol(row.protocol).subsets)]
ROUNDED = 0.1 + 1e-9
"""Both the cells and their average are rounded to one decimal: each by at most 0.05."""


@dataclass
class Printed:
    accuracy: float
    count: int
    unscorable: int = 0


def test_every_row_of_the_eight_tables_is_there() -> None:
    tables = [row.table for row in published_rows()]
    assert {table: tables.count(table) for table in range(1, 9)} == {1: 3, 2: 3, 3: 2, 4: 3, 5: 5, 6: 16, 7: 13, 8: 16}
    assert len(WHOLE) == len(tables) - 1  # CIRN gives its scene accuracy only


OWN_ARITHMETIC = {(7, "MATRN"), (8, "VisionLAN")}
"""Cited rows whose printed Avg is 0.6 to 0.9 above the mean of their cells."""


@pytest.mark.parametrize("row", WHOLE, ids=lambda row: f"{row.table} {row.name} {row.detail}")
def test_printed_averages_follow_from_the_cells_and_the_sizes(row: PublishedRow) -> None:
    scores = {
        name: Printed(accuracy / 100, get_protocol(row.protocol).sizes[name])
        for name, accuracy in row.accuracies.items()
    }
    avg, weighted_avg = get_protocol(row.protocol).average(scores)
    cited = (row.table, row.name) in OWN_ARITHMETIC
    assert (row.avg == pytest.approx(100 * avg, abs=ROUNDED)) is not cited
    assert not (cited and row.variant)
    if row.weighted_avg is not None and not cited:
        assert row.weighted_avg == pytest.approx(100 * weighted_avg, abs=ROUNDED)


def test_weighted_averages_of_table_8_fit_no_other_sizes_of_ic13_and_ic15() -> None:
    sizes = get_protocol("common_857_1811").sizes
    others = dict(zip(get_protocol("common_1015_2077").subsets, sizes.values(), strict=True))
    misses = [
        abs(row.weighted_avg - sum(row.accuracies[name] * size for name, size in others.items()) / sum(sizes.values()))
        for row in WHOLE
        if row.table == 8 and row.weighted_avg is not None
    ]
    assert max(misses) > 2 * ROUNDED


@pytest.mark.parametrize(
    ("variant", "benchmark", "accuracy", "table"),
    [
        ("lmim", "curve", 87.5, 7),  # 10 epochs, Union14M-L
        ("lmim", "ic15_2077", 88.7, 8),
        ("lmim", "cute80", 98.6, 8),
        ("lmim", "web", 82.0, 6),
        ("scratch", "scene", 75.1, 6),
        ("mim", "general", 82.0, 7),
        ("seqclr", "document", 98.5, 6),
        ("mask_block_80", "curve", 82.3, 5),
        ("target_random", "artistic", 64.6, 4),
        ("no_guidance", "salient", 78.6, 1),
    ],
)
def test_accuracy_of_a_variant_is_the_one_in_its_row(variant: str, benchmark: str, accuracy: float, table: int) -> None:
    found = published_accuracy(variant, "mini", benchmark)
    assert found is not None
    assert (found[0], found[1].table) == (accuracy, table)


@pytest.mark.parametrize(
    ("variant", "benchmark"),
    [
        ("lmim", "ic13_857"),  # another protocol
        ("lmim", "rendered"),
        ("mim", "svt"),  # run on corrected labels only
        ("mask_block_80", "svt"),
        ("unknown", "svt"),
    ],
)
def test_cells_without_counterpart_stay_empty(variant: str, benchmark: str) -> None:
    assert published_accuracy(variant, "mini", benchmark) is None


def test_every_variant_of_the_configuration_has_its_row(project: Path) -> None:
    variants = yaml.safe_load((project / "conf/base/variants.yml").read_text("utf-8"))["variants"]
    named = {"no_guidance", "no_alignment", "views_weak", "decoder_ca_sa", "target_pixel", "mask_random_60", "lmim"}
    assert named <= set(variants)
    assert [name for name in named if not counterparts(name, "mini")] == []
    rows = counterparts("lmim", "mini")
    assert len({(row.table, row.name, row.detail) for row in rows}) == len(rows) == 5
