"""A training job: everything a process needs to take part in a stage, small enough for a JSON file."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ValidationError
from torch import nn

from lmim_kedro.crops.loader import CropLoader
from lmim_kedro.crops.randomness import derive_seed
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json, write_json
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.params import OptimizationParams, TrainingParams
from lmim_kedro.recipe import Recipe, in_brief
from lmim_kedro.registries import METHODS
from lmim_kedro.text.charset import check_labels
from lmim_kedro.training.loop import Task, fit
from lmim_kedro.training.ranks import Ranks
from lmim_kedro.training.state import StateFolder
from lmim_kedro.training.tasks import FinetuningTask
from lmim_kedro.training.validation import Validation, hold_out
from lmim_kedro.views.augmentations import finetuning_augmentation
from lmim_kedro.views.guidance import GuidanceViews

log = logging.getLogger(__name__)

Stage = Literal["teacher", "pre-training", "fine-tuning"]


class _SavedJob(BaseModel):
    stage: Stage
    crops: str
    state: str
    recipe: Recipe
    training: TrainingParams
    views: str | None


@dataclass(frozen=True)
class Job:
    """One stage of training.

    Attributes:
        stage: name of the stage, its progress bar, its random streams and its folder in `state`.
        crops: crops to train on.
        recipe: what to train, and how.
        training: how this machine runs it.
        state: folder of the training states.
        views: materialized guidance views; None if they are drawn while training.
    """

    stage: Stage
    crops: PackedStore
    recipe: Recipe
    training: TrainingParams
    state: Path
    views: PackedStore | None = None

    @property
    def optimization(self) -> OptimizationParams:
        """Length, learning rate and the rest of this stage's optimization."""
        if self.stage == "fine-tuning":
            return self.recipe.finetuning.optimization
        pretraining = self.recipe.pretraining
        return pretraining.teacher.optimization if self.stage == "teacher" else pretraining.optimization

    @property
    def folder(self) -> StateFolder:
        """The folder with the state of this stage; it refuses another recipe and other crops."""
        # A validation that is off changes nothing: recipes of earlier versions have none.
        off = {} if self.recipe.finetuning.validation.on else {"finetuning": {"validation"}}
        left_out: Any = off if self.stage == "fine-tuning" else {"finetuning"}
        identity = self.recipe.model_dump(mode="json", exclude=left_out)
        identity |= {"stage": self.stage, "crops": self.crops.fingerprint}
        if self.views is not None:
            identity["views_store"] = self.views.fingerprint
        return StateFolder(self.state / self.stage, identity, self.training.keep_checkpoints)

    @property
    def exchange(self) -> Path:
        """The folder through which the processes of a job get it and return their result."""
        return self.state / "launch" / self.stage

    def write(self, path: Path) -> None:
        """Write the job as JSON, for processes on other machines."""
        found = {"stage": self.stage, "crops": str(self.crops.path), "state": str(self.state)}
        groups = {name: getattr(self, name).model_dump(mode="json") for name in ("recipe", "training")}
        write_json(path, found | groups | {"views": None if self.views is None else str(self.views.path)})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a job that `write` wrote. Errors: InputError if there is none."""
        if not (found := read_json(path)):
            raise InputError(f"there is no training job at {path}: the first machine writes it when it starts")
        try:
            saved = _SavedJob.model_validate(found)
        except ValidationError as error:
            raise InputError(
                f"{path} is no training job ({in_brief(error)}): it is damaged, or from another version; start the "
                "first machine again"
            ) from error
        views = None if saved.views is None else PackedStore(saved.views)
        return cls(saved.stage, PackedStore(saved.crops), saved.recipe, saved.training, Path(saved.state), views)


def run(job: Job, module: nn.Module, ranks: Ranks) -> pd.DataFrame:
    """Take part in a job: train `module` in place and return the metrics table."""
    for part in module.modules():
        if isinstance(part, Encoder):
            part.checkpointed = job.training.checkpoint_activations
    task, loader, validation = (_finetuning if job.stage == "fine-tuning" else _pretraining)(job, module, ranks)
    return fit(task, loader, job.optimization, job.training, job.recipe.seed, job.folder, ranks, validation)


def _pretraining(job: Job, module: Any, ranks: Ranks) -> tuple[Task, CropLoader, None]:
    pretraining = module.pretraining  # not the recipe's: the teacher is trained by another method
    method = METHODS[pretraining.method]
    if job.training.accumulate > 1 and method.compares_crops(pretraining):
        raise InputError(
            f"training.accumulate is {job.training.accumulate}, but the loss of {job.recipe.variant} compares the "
            "crops of a batch with one another, and would only see those of a part: set it to 1, and save memory with "
            "training.checkpoint_activations or more training.devices"
        )
    # On a CPU one graph takes several times as long: it computes every operation for every crop.
    views = GuidanceViews(job.recipe.views, compiled=job.training.compile and ranks.device.type == "cuda")
    task = method.task(job.stage, module, views, derive_seed(job.recipe.seed, job.stage, 0))
    return task, _loader(job, ranks, views=job.views if method.reads_views(pretraining) else None), None


def _finetuning(job: Job, module: Any, ranks: Ranks) -> tuple[Task, CropLoader, Validation | None]:
    finetuning = job.recipe.finetuning
    module.encoder.requires_grad_(not finetuning.freeze_encoder)
    labels = job.crops.labels(range(len(job.crops)))
    checked = check_labels(labels, module.charset, module.longest_label, module.head.columns)
    if ranks.first:
        log.info("fine-tuning: %s", checked.sentence())
    module.labels = checked.facts()
    if len(checked.usable) == 0:
        raise InputError(
            f"no label can be learned from ({checked.sentence()}): check the labels and finetuning.charset"
        )
    indices, validation = checked.usable, None
    if finetuning.validation.on:
        held, trained = hold_out(job.crops, finetuning.validation)
        indices = np.intersect1d(indices, trained)
        module.labels["held_out"] = len(held)
        if ranks.first:
            log.info("fine-tuning: %d crops are held out, and %d are trained on", len(held), len(indices))
        # The first process reads all of them, as many at once as it trains on.
        alone = {"rank": 0, "world": 1, "batch_size": job.optimization.batch_size // ranks.world}
        reading = _loader(job, ranks, indices=held, with_labels=True, shuffle=False, drop_last=False, **alone)
        validation = Validation(finetuning.validation, reading)
    augmentation = finetuning_augmentation(finetuning, job.recipe.model)
    task = FinetuningTask(module, augmentation, derive_seed(job.recipe.seed, job.stage, 0))
    return task, _loader(job, ranks, indices=indices, with_labels=True), validation


def _loader(job: Job, ranks: Ranks, **options: Any) -> CropLoader:
    given = {"batch_size": job.optimization.batch_size, "rank": ranks.rank, "world": ranks.world} | options
    return CropLoader(
        job.crops,
        height=job.recipe.model.image_height,
        width=job.recipe.model.image_width,
        seed=derive_seed(job.recipe.seed, f"order {job.stage}", 0),
        threads=job.training.loader_threads,
        pin=ranks.device.type == "cuda",
        **given,
    )


def seed_initial_weights(recipe: Recipe, stage: Stage) -> None:
    """Seed torch's generator, from which the initial weights of a stage are drawn next."""
    torch.manual_seed(derive_seed(recipe.seed, f"initial {stage}", 0))
