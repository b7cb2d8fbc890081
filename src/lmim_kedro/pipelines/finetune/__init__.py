"""The finetune stage."""

from lmim_kedro.pipelines.finetune.pipeline import create_pipeline

__all__ = ["create_pipeline"]
