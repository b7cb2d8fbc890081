"""Nodes of the pretrain stage."""

from typing import Any

from lmim_kedro.params import TrainingParams, ViewsParams
from lmim_kedro.recipe import Recipe


def resolve_pretraining(recipe: Recipe) -> dict[str, Any]:
    """The recipe of this run, defaults and variant merged: written beside the checkpoints."""
    return recipe.model_dump(mode="json")


def make_teacher(crops: Any, recipe: Recipe, training: TrainingParams, state: Any) -> tuple[Any, Any]:
    """The frozen encoder whose features are predicted, and the metrics of its training."""
    from lmim_kedro.training import pretraining

    return pretraining.make_teacher(crops, recipe, training, state)


def pretrain(
    crops: Any,
    teacher: Any,
    recipe: dict[str, Any],
    views: ViewsParams,
    training: TrainingParams,
    state: Any,
    views_store: Any,
) -> tuple[Any, Any, Any]:
    """The pre-trained model, its encoder alone, and the metrics of its training."""
    from lmim_kedro.training import pretraining

    model, metrics = pretraining.pretrain(
        crops, teacher, Recipe(**recipe), training, state, views_store, views.materialize
    )
    return model, model.encoder, metrics
