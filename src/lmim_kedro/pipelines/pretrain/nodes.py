"""Nodes of the pretrain stage."""

from pathlib import Path

from lmim_kedro.params import TrainingParams, ViewsParams
from lmim_kedro.pipelines.node_types import DataFrame, Encoder, Json, Module, PackedStore
from lmim_kedro.recipe import Recipe, saved_recipe


def resolve_pretraining(recipe: Recipe) -> Json:
    """The recipe of this run, defaults and variant merged: written beside the checkpoints."""
    return recipe.model_dump(mode="json")


def make_teacher(
    crops: PackedStore, recipe: Recipe, training: TrainingParams, state: Path
) -> tuple[Encoder, DataFrame]:
    """The frozen encoder whose features are predicted, and the metrics of its training."""
    from lmim_kedro.training import pretraining

    return pretraining.make_teacher(crops, recipe, training, state)


def pretrain(
    crops: PackedStore,
    teacher: Encoder,
    recipe: Json,
    views: ViewsParams,
    training: TrainingParams,
    state: Path,
    views_store: PackedStore,
) -> tuple[Module, Encoder, DataFrame]:
    """The pre-trained model, its encoder alone, and the metrics of its training."""
    from lmim_kedro.training import pretraining

    made = saved_recipe(recipe, "the recipe.json of pre-training")
    model, metrics = pretraining.pretrain(crops, teacher, made, training, state, views_store, views.materialize)
    return model, model.encoder, metrics
