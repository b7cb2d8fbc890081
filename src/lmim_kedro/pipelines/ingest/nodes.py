"""Nodes of the ingest stage."""

from __future__ import annotations

import logging
from typing import Any

from lmim_kedro.params import IngestParams

log = logging.getLogger(__name__)


def pack_crops(sources: list[Any], ingest: IngestParams) -> Any:
    """The plan of a packed store, with or without labels; it is carried out where the catalog saves it."""
    return _plan(sources, ingest, need_labels=False)


def pack_labelled_crops(sources: list[Any], ingest: IngestParams) -> Any:
    """The plan of a packed store in which every crop has a label."""
    return _plan(sources, ingest, need_labels=True)


def list_crops(crops: Any) -> tuple[Any, Any]:
    """The manifest of a packed store, table by table, and its summary, a row per source."""
    from lmim_kedro.crops.manifest import manifest_tables, summarise

    summary = summarise(manifest_tables(crops))
    log.info("%r\n%s", crops, summary.to_string(index=False))
    return manifest_tables(crops), summary


def _plan(sources: list[Any], ingest: IngestParams, need_labels: bool) -> Any:
    from lmim_kedro.crops.prepare import IngestPlan

    for source in sources:
        log.info("%s: %s", source.name, source.description)
    return IngestPlan(sources, ingest, need_labels)
