from __future__ import annotations

from pathlib import Path

import yaml

from lmim_kedro.reporting.paper.published import counterparts, published_rows
from lmim_kedro.reporting.paper.rows import ARD, COMPANIONS, METHODS, VARIANTS, is_of


def test_every_row_that_the_authors_ran_has_a_variant() -> None:
    assert {(row.table, row.name, row.detail) for row in published_rows() if row.authors} == VARIANTS.keys()


def test_rows_are_told_apart_by_what_the_mapping_names() -> None:
    authors = [(row.table, row.name, row.detail) for row in published_rows() if row.authors]
    assert len(authors) == len(set(authors))


def test_variants_of_the_mapping_are_defined(project: Path) -> None:
    written = yaml.safe_load((project / "conf/base/variants.yml").read_text("utf-8"))["variants"]
    beside = {name for companions in COMPANIONS.values() for name in companions}
    assert set(VARIANTS.values()) | METHODS.keys() | beside <= written.keys()


def test_a_baseline_is_never_in_a_figure_without_its_companions() -> None:
    for baseline, companions in COMPANIONS.items():
        if baseline in METHODS:
            assert companions.keys() <= METHODS.keys()


def test_rows_fine_tuned_on_ard_are_of_their_own_environment(project: Path) -> None:
    assert (project / "conf" / ARD).is_dir()
    rows = [row for row in VARIANTS if is_of(row, ARD)]
    assert len(rows) == 4 and not any(is_of(row, "union14m") for row in rows)
    assert not any("ARD" in row.detail for row in counterparts("lmim", "union14m"))
    assert all("ARD" in row.detail for row in counterparts("lmim", "ard") if row.table >= 6)
