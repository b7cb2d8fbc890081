"""From crops and a recipe to a pre-trained encoder: teacher, LMIM, and the baselines that share their loop."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import torch

from lmim_kedro.crops.loader import CropLoader
from lmim_kedro.crops.random import derive_seed
from lmim_kedro.crops.store import PackedStore
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.weights import import_encoder
from lmim_kedro.params import OptimisationParams, PretrainingParams, Recipe, TrainingParams
from lmim_kedro.training.loop import fit
from lmim_kedro.training.state import StateFolder
from lmim_kedro.training.tasks import PretrainingTask
from lmim_kedro.views.guidance import GuidanceViews

log = logging.getLogger(__name__)


def needs_teacher(pretraining: PretrainingParams) -> bool:
    """Whether the target are features of an encoder."""
    return pretraining.method == "lmim" and pretraining.target != "pixel"


def make_teacher(
    crops: PackedStore, recipe: Recipe, training: TrainingParams, state: Path
) -> tuple[Encoder, pd.DataFrame]:
    """The encoder whose features are the target (paper, section 3.3), and the metrics of its training.

    MAERec's weights where `teacher.path` is given, else a masked autoencoder trained on the same crops. Where the
    recipe's target is random features, or pixels, or there is no pre-training, the encoder is an untrained one.
    """
    teacher = recipe.pretraining.teacher
    if teacher.path is not None and needs_teacher(recipe.pretraining):
        encoder, imported = import_encoder(Path(teacher.path), recipe.model, part="teacher")
        log.info("teacher from %s", imported.sentence())
        return encoder, no_metrics()
    untrained = not needs_teacher(recipe.pretraining) or recipe.pretraining.target == "random_features"
    _seed(recipe, "teacher")
    if untrained:
        return Encoder(recipe.model), no_metrics()
    mim = recipe.pretraining.model_copy(update={"method": "mim", "mask_ratio": teacher.mask_ratio, "masking": "random"})
    model = LMIM(recipe.model, mim)
    metrics = _train("teacher", model, crops, recipe, teacher.optimisation, training, state)
    return model.encoder, metrics


def pretrain(
    crops: PackedStore, teacher: Encoder, recipe: Recipe, training: TrainingParams, state: Path
) -> tuple[LMIM, pd.DataFrame]:
    """The pre-trained model of a recipe, and the metrics of its training; untrained for method `none`."""
    _seed(recipe, "pre-training")
    model = LMIM(recipe.model, recipe.pretraining, teacher if needs_teacher(recipe.pretraining) else None)
    if recipe.pretraining.weights is not None:
        model.encoder, imported = import_encoder(Path(recipe.pretraining.weights), recipe.model)
        log.info("encoder from %s", imported.sentence())
    if recipe.pretraining.method == "none":
        return model, no_metrics()
    metrics = _train("pre-training", model, crops, recipe, recipe.pretraining.optimisation, training, state)
    return model, metrics


def no_metrics() -> pd.DataFrame:
    """The metrics table of a stage that had nothing to train."""
    return pd.DataFrame(columns=["step", "epoch", "loss", "learning_rate", "crops_per_second", "seconds"])


def _seed(recipe: Recipe, stage: str) -> None:
    torch.manual_seed(derive_seed(recipe.seed, f"initial {stage}", 0))


def _train(
    name: str,
    model: LMIM,
    crops: PackedStore,
    recipe: Recipe,
    optimisation: OptimisationParams,
    training: TrainingParams,
    state: Path,
) -> pd.DataFrame:
    size = recipe.model
    views = GuidanceViews(recipe.views, size.image_height, size.image_width) if model.guided else None
    loader = CropLoader(
        crops,
        height=size.image_height,
        width=size.image_width,
        batch_size=optimisation.batch_size,
        seed=derive_seed(recipe.seed, f"order {name}", 0),
        threads=training.loader_threads,
    )
    identity = recipe.model_dump(mode="json", exclude={"finetuning"}) | {"stage": name, "crops": crops.fingerprint}
    folder = StateFolder(state / name, identity, training.keep_checkpoints)
    task = PretrainingTask(name, model, views, derive_seed(recipe.seed, name, 0))
    return fit(task, loader, optimisation, training, recipe.seed, folder)
