"""The predict pipeline."""

from lmim_kedro.pipelines.predict.pipeline import create_pipeline

__all__ = ["create_pipeline"]
