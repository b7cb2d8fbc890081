"""Nodes of the finetune stage."""

from __future__ import annotations

from typing import Any

from lmim_kedro.params import Recipe, TrainingParams, resolve_finetuning


def resolve_recipe(parameters: dict[str, Any], pretraining_recipe: dict[str, Any]) -> dict[str, Any]:
    """The whole recipe: what the encoder was pre-trained with, and how it is fine-tuned now."""
    return resolve_finetuning(parameters, pretraining_recipe).model_dump(mode="json")


def finetune(crops: Any, encoder: Any, recipe: dict[str, Any], training: TrainingParams, state: Any) -> tuple[Any, Any]:
    """The recogniser and the metrics of its training."""
    from lmim_kedro.training import finetuning

    return finetuning.finetune(crops, encoder, Recipe(**recipe), training, state)
