"""The ingest stage: one modular pipeline, used three times, by namespace; and the checks between the three."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Pipeline, node, pipeline

from lmim_kedro.pipelines.ingest.nodes import (
    describe_data,
    draw_leaks,
    find_duplicates,
    find_leaks,
    leave_out,
    list_clusters,
    list_crops,
    pack_crops,
    pack_labeled_crops,
    write_cards,
)

TRAINING = {"pretraining": pack_crops, "finetuning": pack_labeled_crops}


def create_pipeline() -> Pipeline:
    """Raw crops in; packed stores, manifests, summaries, leaks and the data card out."""
    training = [_ingest(namespace, pack, "packed") + _check(namespace) for namespace, pack in TRAINING.items()]
    stages = sum(training, start=_ingest("benchmarks", pack_labeled_crops, "crops")) + _describe()
    return Pipeline(stages, tags="data")


def _ingest(namespace: str, pack: Callable[..., Any], packed: str) -> Pipeline:
    return pipeline(
        [
            node(pack, ["sources", "crops_folder", "params:ingest"], packed, name="pack_crops"),
            node(find_duplicates, [packed, "params:ingest"], "duplicates", name="find_duplicates"),
            node(list_crops, "crops", ["manifest", "summary"], name="list_crops"),
        ],
        namespace=namespace,
        parameters="params:ingest",
    )


def _check(namespace: str) -> Pipeline:
    """Benchmark crops among those to train on, and clusters: listed, drawn, and left out."""
    return pipeline(
        [
            node(find_leaks, ["packed", "benchmark_crops", "params:ingest"], "leaks", name="find_leaks"),
            node(draw_leaks, ["leaks", "packed", "benchmark_crops"], "leak_sheet", name="draw_leaks"),
            node(list_clusters, ["duplicates", "packed", "params:ingest"], "clusters", name="list_clusters"),
            node(leave_out, ["packed", "leaks", "duplicates", "clusters", "params:ingest"], "crops", name="leave_out"),
        ],
        namespace=namespace,
        parameters="params:ingest",
        inputs={"benchmark_crops": "benchmarks.crops"},
    )


def _describe() -> Pipeline:
    made = {
        f"{use}_{what}": f"{use}.{what}" for use in (*TRAINING, "benchmarks") for what in ("crops", "duplicates")
    } | {f"{use}_leaks": f"{use}.leaks" for use in TRAINING}
    return Pipeline(
        [
            node(
                describe_data,
                {"recipe": "params:recipe"} | made,
                ["data_card", "data_card_figure"],
                name="describe_data",
            ),
            node(
                write_cards,
                ["data_card", "params:card"],
                [f"{use}.card" for use in (*TRAINING, "benchmarks")],
                name="write_cards",
            ),
        ]
    )
