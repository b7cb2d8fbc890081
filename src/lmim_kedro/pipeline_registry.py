"""The pipelines by name, in the order in which crops flow through them."""

import warnings
from importlib import import_module

from kedro.pipeline import Pipeline

STAGES = ("ingest", "views", "pretrain", "finetune", "evaluate", "report")
EXTRAS = ("predict", "paper")


def register_pipelines() -> dict[str, Pipeline]:
    """Name -> pipeline: each stage alone, all of them as the default, and what is no part of the default.

    Listed by hand: Kedro's `find_pipelines` imports only the folders named by `--pipelines` and knows no others.
    """
    with warnings.catch_warnings():
        # Later stages read what ingest makes in each of its namespaces, so those names have a dot in them.
        warnings.filterwarnings("ignore", message="One or more dataset names contain '.' characters")
        pipelines = {stage: import_module(f"lmim_kedro.pipelines.{stage}").create_pipeline() for stage in STAGES}
        extras = {name: import_module(f"lmim_kedro.pipelines.{name}").create_pipeline() for name in EXTRAS}
    return {"__default__": sum(pipelines.values(), start=Pipeline([])), **pipelines, **extras}
