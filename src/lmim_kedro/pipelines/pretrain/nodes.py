"""Nodes of the pretrain stage."""

from pathlib import Path

from lmim_kedro.params import TrainingParams, ViewsParams
from lmim_kedro.pipelines.node_types import DataFrame, Encoder, Json, Module, PackedStore
from lmim_kedro.recipe import Recipe


def make_teacher(
    crops: PackedStore, recipe: Recipe, training: TrainingParams, state: Path
) -> tuple[Encoder, DataFrame]:
    """The frozen encoder whose features are predicted, and the metrics of its training."""
    from lmim_kedro.training import pretraining

    return pretraining.make_teacher(crops, recipe, training, state)


def pretrain(
    crops: PackedStore,
    teacher: Encoder,
    recipe: Recipe,
    views: ViewsParams,
    training: TrainingParams,
    state: Path,
    views_store: PackedStore,
) -> tuple[Module, Encoder, DataFrame]:
    """The pre-trained model, its encoder alone, and the metrics of its training."""
    from lmim_kedro.training import pretraining

    model, metrics = pretraining.pretrain(crops, teacher, recipe, training, state, views_store, views.materialize)
    return model, model.encoder, metrics


def note_pretraining(encoder: Encoder) -> Json:
    """The recipe of the encoder that has been saved, with the checksum of its weights."""
    from lmim_kedro.models.weights import recorded_recipe

    return recorded_recipe(encoder)
