from __future__ import annotations

import csv
from pathlib import Path

import yaml

from lmim_kedro.reporting.paper.published import ARD, counterparts, published_rows
from lmim_kedro.reporting.paper.tables import COMPANIONS, METHODS

REPEATED = [row for row in published_rows() if row.variant]


def test_every_row_that_the_authors_ran_has_a_variant(project: Path) -> None:
    for file in sorted((project / "src/lmim_kedro/reporting/paper").glob("*.csv")):
        for cells in csv.DictReader(file.read_text("utf-8").splitlines()):
            assert bool(cells["variant"]) == (cells.get("source", "authors") == "authors"), cells
    assert len(REPEATED) == 32


def test_rows_with_a_variant_are_told_apart() -> None:
    assert len({(row.table, row.name, row.detail) for row in REPEATED}) == len(REPEATED)


def test_variants_of_the_rows_are_defined(project: Path) -> None:
    written = yaml.safe_load((project / "conf/base/variants.yml").read_text("utf-8"))["variants"]
    beside = {name for companions in COMPANIONS.values() for name in companions}
    assert {row.variant for row in REPEATED} | METHODS.keys() | beside <= written.keys()


def test_a_baseline_is_never_in_a_figure_without_its_companions() -> None:
    for baseline, companions in COMPANIONS.items():
        if baseline in METHODS:
            assert companions.keys() <= METHODS.keys()


def test_rows_fine_tuned_on_ard_are_of_their_own_environment(project: Path) -> None:
    assert (project / "conf" / ARD).is_dir()
    rows = [row for row in REPEATED if row.is_of(ARD)]
    assert len(rows) == 4 and not any(row.is_of("union14m") for row in rows)
    assert not any("ARD" in row.detail for row in counterparts("lmim", "union14m"))
    assert all("ARD" in row.detail for row in counterparts("lmim", "ard") if row.table >= 6)
