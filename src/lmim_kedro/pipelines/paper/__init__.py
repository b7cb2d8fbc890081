"""The paper's tables and figures, over all variants and seeds of an environment."""

from lmim_kedro.pipelines.paper.pipeline import create_pipeline

__all__ = ["create_pipeline"]
