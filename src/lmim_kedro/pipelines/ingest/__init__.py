"""The ingest stage."""

from lmim_kedro.pipelines.ingest.pipeline import create_pipeline

__all__ = ["create_pipeline"]
