"""Nodes of the pretrain stage."""

from __future__ import annotations

from typing import Any

from lmim_kedro.params import Parameters, TrainingParams
from lmim_kedro.recipe import Recipe, resolve_recipe


def resolve_pretraining(parameters: dict[str, Any]) -> dict[str, Any]:
    """The recipe of this run, defaults and variant merged: written beside the checkpoints."""
    return resolve_recipe(parameters).model_dump(mode="json")


def make_teacher(crops: Any, parameters: dict[str, Any], training: TrainingParams, state: Any) -> tuple[Any, Any]:
    """The frozen encoder whose features are predicted, and the metrics of its training."""
    from lmim_kedro.training import pretraining

    return pretraining.make_teacher(crops, resolve_recipe(parameters), training, state)


def pretrain(
    crops: Any,
    teacher: Any,
    recipe: dict[str, Any],
    parameters: dict[str, Any],
    training: TrainingParams,
    state: Any,
    views: Any,
) -> tuple[Any, Any, Any]:
    """The pre-trained model, its encoder alone, and the metrics of its training."""
    from lmim_kedro.training import pretraining

    materialized = Parameters.model_validate(parameters).views.materialize
    model, metrics = pretraining.pretrain(crops, teacher, Recipe(**recipe), training, state, views, materialized)
    return model, model.encoder, metrics
