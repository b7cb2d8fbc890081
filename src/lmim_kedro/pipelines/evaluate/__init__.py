"""The evaluate stage."""

from lmim_kedro.pipelines.evaluate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
