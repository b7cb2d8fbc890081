from __future__ import annotations

from pathlib import Path

import yaml

from lmim_kedro.reporting.paper_rows import METHODS, NOT_REPEATED, VARIANTS
from lmim_kedro.reporting.published import published_rows


def test_every_row_that_the_authors_ran_has_a_variant_or_a_reason() -> None:
    authors = {(row.table, row.name, row.detail) for row in published_rows() if row.authors}
    assert authors == VARIANTS.keys() | NOT_REPEATED.keys()
    assert not VARIANTS.keys() & NOT_REPEATED.keys()


def test_rows_are_told_apart_by_what_the_mapping_names() -> None:
    authors = [(row.table, row.name, row.detail) for row in published_rows() if row.authors]
    assert len(authors) == len(set(authors))


def test_variants_of_the_mapping_are_defined(project: Path) -> None:
    written = yaml.safe_load((project / "conf/base/parameters_variants.yml").read_text("utf-8"))["variants"]
    assert (set(VARIANTS.values()) | METHODS.keys()) - {"seqclr", "epochs_20"} <= written.keys()
