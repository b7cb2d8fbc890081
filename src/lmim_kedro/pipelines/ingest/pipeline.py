"""The ingest stage: one modular pipeline, used three times, by namespace."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Pipeline, node, pipeline

from lmim_kedro.params import IngestParams
from lmim_kedro.pipelines.ingest.nodes import list_crops, pack_crops, pack_labelled_crops

PACKING = {"pretraining": pack_crops, "finetuning": pack_labelled_crops, "benchmarks": pack_labelled_crops}


def create_pipeline() -> Pipeline:
    """Raw crops in; packed stores, manifests and summaries out."""
    return sum((_ingest(namespace, pack) for namespace, pack in PACKING.items()), start=Pipeline([]))


def _ingest(namespace: str, pack: Callable[[list[Any], IngestParams], Any]) -> Pipeline:
    return pipeline(
        [
            node(pack, ["sources", "params:ingest"], "crops", name="pack_crops"),
            node(list_crops, "crops", ["manifest", "summary"], name="list_crops"),
        ],
        namespace=namespace,
        parameters="params:ingest",
    )
