"""The views stage."""

from lmim_kedro.pipelines.views.pipeline import create_pipeline

__all__ = ["create_pipeline"]
