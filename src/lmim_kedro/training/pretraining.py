"""Pre-trains an encoder: the teacher, LMIM, and the baselines that share their loop."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.released import import_encoder
from lmim_kedro.models.weights import Origin
from lmim_kedro.params import TrainingParams
from lmim_kedro.recipe import Recipe, encoder_differences, needs_teacher
from lmim_kedro.registries import METHODS
from lmim_kedro.training.budget import with_budget
from lmim_kedro.training.jobs import Job, seed_initial_weights
from lmim_kedro.training.launch import train
from lmim_kedro.views.materialize import ViewStorePlan

log = logging.getLogger(__name__)


def make_teacher(
    crops: PackedStore, recipe: Recipe, training: TrainingParams, state: Path
) -> tuple[Encoder, pd.DataFrame]:
    """Make the encoder whose features are the target (paper, section 3.3); returns it and the metrics of its training.

    It has MAERec's weights if `teacher.path` is given, else it is the encoder of a masked autoencoder trained on the
    same crops. It stays untrained if the target is random features or the method needs no teacher.
    """
    encoder, metrics = _make_teacher(crops, recipe, training, state)
    encoder.origin = Origin(recipe.model_dump(mode="json"))
    return encoder, metrics


def _make_teacher(
    crops: PackedStore, recipe: Recipe, training: TrainingParams, state: Path
) -> tuple[Any, pd.DataFrame]:
    teacher = recipe.pretraining.teacher
    if teacher.path is not None and needs_teacher(recipe.pretraining):
        encoder, imported = import_encoder(teacher.path, recipe.model, part="teacher")
        log.info("teacher from %s", imported.sentence())
        return encoder, no_metrics()
    untrained = not needs_teacher(recipe.pretraining) or recipe.pretraining.target == "random_features"
    seed_initial_weights(recipe, "teacher")
    if untrained:
        return Encoder(recipe.model), no_metrics()
    mim = recipe.pretraining.model_copy(update={"method": "mim", "mask_ratio": teacher.mask_ratio, "masking": "random"})
    model = METHODS["mim"].build(recipe.model, mim, None)
    trained, metrics = train(Job("teacher", crops, recipe, training, state), model)
    return trained.encoder, metrics


def pretrain(
    crops: PackedStore,
    teacher: Encoder,
    recipe: Recipe,
    training: TrainingParams,
    state: Path,
    views: PackedStore | None = None,
    materialized: int = 0,
) -> tuple[Any, pd.DataFrame]:
    """Pre-train the model of a recipe; returns it and the metrics of its training. Method `none` trains nothing.

    Args:
        crops: crops to train on.
        teacher: the encoder that make_teacher returned.
        recipe: what to train, and how.
        training: how this machine runs it.
        state: folder of the training states.
        views: materialized guidance views of the crops.
        materialized: views per crop; with 0 they are drawn while training, whatever `views` holds.
    """
    model, metrics = _pretrain(crops, teacher, recipe, training, state, views, materialized)
    model.origin = model.encoder.origin = Origin(recipe.model_dump(mode="json"))
    return model, metrics


def _pretrain(
    crops: PackedStore,
    teacher: Encoder,
    recipe: Recipe,
    training: TrainingParams,
    state: Path,
    views: PackedStore | None,
    materialized: int,
) -> tuple[Any, pd.DataFrame]:
    if needs_teacher(recipe.pretraining) and (other := encoder_differences(teacher.model, recipe.model)):
        raise InputError(
            f"the teacher on disk has another {', '.join(other)} than the model that is to learn from it: make it anew "
            "with `kedro run --pipelines=pretrain` and the same --env and --params"
        )
    recipe = with_budget(recipe, len(crops))
    seed_initial_weights(recipe, "pre-training")
    method = METHODS[recipe.pretraining.method]
    model = method.build(recipe.model, recipe.pretraining, teacher if needs_teacher(recipe.pretraining) else None)
    if recipe.pretraining.weights is not None:
        model.encoder, imported = import_encoder(recipe.pretraining.weights, recipe.model)
        log.info("encoder from %s", imported.sentence())
    if not method.trains:
        return model, no_metrics()
    if not materialized:
        views = None
    elif not method.reads_views(recipe.pretraining):
        log.info("%s looks at no materialized views: views.materialize has no effect on it", recipe.variant)
        views = None
    elif views is None:
        raise InputError(f"views.materialize is {materialized}, but no store of views was given")
    else:
        size = recipe.model
        plan = ViewStorePlan(
            *(crops, recipe.views, materialized, size.image_height, size.image_width, recipe.seed),
            keep_ratio=size.keep_ratio,
        )
        plan.require(views)
    return train(Job("pre-training", crops, recipe, training, state, views), model)


def no_metrics() -> pd.DataFrame:
    """The metrics table of a stage without training."""
    return pd.DataFrame(columns=["step", "epoch", "loss", "learning_rate", "crops_per_second", "seconds"])
