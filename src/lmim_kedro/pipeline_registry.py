"""The pipelines by name, in the order in which crops flow through them."""

import warnings
from importlib import import_module

from kedro.pipeline import Pipeline

STAGES = ("ingest", "views", "pretrain", "finetune", "evaluate", "report")
EXTRAS = ("predict", "paper", "selftrain")


def register_pipelines() -> dict[str, Pipeline]:
    """Name -> pipeline: each stage alone, all of them as the default, and what is no part of the default.

    A stage's name is the namespace of its nodes (`pretrain.make_teacher`), so that Kedro-Viz draws each as a box.
    Datasets keep the names of the catalog. `selftrain` takes the place of `finetune` among the stages around it.

    Listed by hand: Kedro's `find_pipelines` imports only the folders named by `--pipelines` and knows no others.
    """
    with warnings.catch_warnings():
        # Later stages read what ingest makes for each use of crops, so those names have a dot in them.
        warnings.filterwarnings("ignore", message="One or more dataset names contain '.' characters")
        stages = {name: _boxed(name) for name in STAGES}
        around = ("views", "pretrain", "evaluate", "report")
        extras = {name: _create(name) for name in ("predict", "paper")}
        extras["selftrain"] = sum((stages[name] for name in around), start=_boxed("selftrain"))
    return {"__default__": sum(stages.values(), start=Pipeline([])), **stages, **extras}


def _boxed(name: str) -> Pipeline:
    return Pipeline(_create(name), namespace=name, prefix_datasets_with_namespace=False)


def _create(name: str) -> Pipeline:
    created: Pipeline = import_module(f"lmim_kedro.pipelines.{name}").create_pipeline()
    return created
