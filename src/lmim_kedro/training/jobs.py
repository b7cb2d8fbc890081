"""A training job: everything a process needs to take part in a stage, small enough for a JSON file."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ValidationError

from lmim_kedro.crops.loader import CropLoader, JoinedStores
from lmim_kedro.crops.randomness import derive_seed
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json, write_json
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.params import OptimizationParams, TrainingParams
from lmim_kedro.recipe import Recipe, in_brief
from lmim_kedro.registries import METHODS
from lmim_kedro.text.charset import LabelCheck, check_labels
from lmim_kedro.training.loop import Task, fit
from lmim_kedro.training.ranks import Ranks
from lmim_kedro.training.state import StateFolder
from lmim_kedro.training.tasks import FinetuningTask
from lmim_kedro.training.temperature import fit_temperature
from lmim_kedro.training.validation import Validation, hold_out, labels_in_use
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
    pseudo: str | None


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
        pseudo: pseudo-labeled crops to fine-tune on too; None without self-training.
    """

    stage: Stage
    crops: PackedStore
    recipe: Recipe
    training: TrainingParams
    state: Path
    views: PackedStore | None = None
    pseudo: PackedStore | None = None

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
        off = {} if self.recipe.finetuning.validation.on else {"validation"}
        # Which encoder it began with, the state knows by the digest of the first weights.
        left_out: Any = {"sha256": True, "encoder_sha256": True}
        left_out["finetuning"] = off if self.stage == "fine-tuning" else True
        identity = self.recipe.model_dump(mode="json", exclude=left_out)
        identity |= {"stage": self.stage, "crops": self.crops.fingerprint}
        if self.views is not None:
            identity["views_store"] = self.views.fingerprint
        if self.pseudo is not None:
            identity["pseudo"] = self.pseudo.fingerprint
        return StateFolder(self.state / self.stage, identity, self.training.keep_checkpoints)

    @property
    def exchange(self) -> Path:
        """The folder through which the processes of a job get it and return their result."""
        return self.state / "launch" / self.stage

    def write(self, path: Path) -> None:
        """Write the job as JSON, for processes on other machines."""
        found = {"stage": self.stage, "crops": str(self.crops.path), "state": str(self.state)}
        groups = {name: getattr(self, name).model_dump(mode="json") for name in ("recipe", "training")}
        more = {"views": self.views, "pseudo": self.pseudo}
        write_json(path, found | groups | {name: store and str(store.path) for name, store in more.items()})

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
        views, pseudo = (None if each is None else PackedStore(each) for each in (saved.views, saved.pseudo))
        state = Path(saved.state)
        return cls(saved.stage, PackedStore(saved.crops), saved.recipe, saved.training, state, views, pseudo)


def run(job: Job, module: Any, ranks: Ranks) -> pd.DataFrame:
    """Take part in a job: train `module` in place and return the metrics table."""
    for part in module.modules():
        if isinstance(part, Encoder):
            part.checkpointed = job.training.checkpoint_activations
    task, loader, validation = (_finetuning if job.stage == "fine-tuning" else _pretraining)(job, module, ranks)
    metrics = fit(task, loader, job.optimization, job.training, job.recipe.seed, job.folder, ranks, validation)
    if validation is not None:
        metric = validation.params.metric
        found = ranks.told(fit_temperature(module, validation.loader, metric) if ranks.first else None)
        module.temperature = found["temperature"]
        for name, value in found.items():
            metrics.loc[metrics.index[-1], name] = math.nan if value is None else value
    return metrics


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
    in_use = labels_in_use(job.crops, finetuning.label_share, job.recipe.seed)
    checked = _check_labels(job.crops, in_use, module)
    if ranks.first:
        if finetuning.label_share is not None:
            log.info("fine-tuning: %s of %s labels are in use", f"{len(in_use):,}", f"{len(job.crops):,}")
        log.info("fine-tuning: %s", checked.sentence())
    module.labels = checked.facts()
    if len(checked.usable) == 0:
        raise InputError(
            f"no label can be learned from ({checked.sentence()}): check the labels and finetuning.charset"
        )
    indices, validation = in_use[checked.usable], None
    if finetuning.validation.on:
        held, trained = hold_out(job.crops, finetuning.validation)
        held = np.intersect1d(held, in_use)
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
    more = {} if job.pseudo is None else _pseudo_labeled(job, module, ranks, len(indices))
    return task, _loader(job, ranks, indices=indices, with_labels=True, **more), validation


def _pseudo_labeled(job: Job, module: Any, ranks: Ranks, labeled: int) -> dict[str, Any]:
    """Options of a loader that mixes pseudo-labeled crops into `labeled` labeled ones."""
    assert job.pseudo is not None and job.recipe.selftrain is not None
    checked = _check_labels(job.pseudo, np.arange(len(job.pseudo)), module)
    if len(checked.usable) == 0:
        raise InputError(
            f"no reading can be learned from ({checked.sentence()}): let a recognizer read that writes the characters "
            "of finetuning.charset"
        )
    mixed = max(1, round(job.recipe.selftrain.ratio * labeled))
    module.labels["pseudo_labeled"] = len(checked.usable)
    if ranks.first:
        counts = f"{len(checked.usable):,}", f"{labeled:,}", f"{mixed:,}"
        log.info("fine-tuning: pseudo-labeled crops: %s; an epoch has %s labeled crops and %s of these", *counts)
    return {
        "store": JoinedStores(job.crops, job.pseudo),
        "mixed_in": len(job.crops) + checked.usable,
        "mixed_per_epoch": mixed,
    }


def _check_labels(crops: PackedStore, places: np.ndarray, module: Any) -> LabelCheck:
    return check_labels(crops.labels(places), module.charset, module.longest_label, module.head.columns)


def _loader(job: Job, ranks: Ranks, **options: Any) -> CropLoader:
    given: dict[str, Any] = {"store": job.crops, "batch_size": job.optimization.batch_size} | options
    given = {"rank": ranks.rank, "world": ranks.world} | given
    return CropLoader(
        height=job.recipe.model.image_height,
        width=job.recipe.model.image_width,
        keep_ratio=job.recipe.model.keep_ratio,
        rotate_tall=job.recipe.rotate_tall,
        seed=derive_seed(job.recipe.seed, f"order {job.stage}", 0),
        threads=job.training.loader_threads,
        pin=ranks.device.type == "cuda",
        **given,
    )


def seed_initial_weights(recipe: Recipe, stage: Stage) -> None:
    """Seed torch's generator, from which the initial weights of a stage are drawn next."""
    torch.manual_seed(derive_seed(recipe.seed, f"initial {stage}", 0))
