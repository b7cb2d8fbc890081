"""Chooses the best step of fine-tuning, by labeled crops that it does not train on."""

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmim_kedro.crops.checks.hashes import crop_hashes
from lmim_kedro.crops.loader import CropLoader, send
from lmim_kedro.crops.pixels import to_input
from lmim_kedro.crops.randomness import uniform
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.errors import InputError, did_you_mean
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.params import ValidationParams
from lmim_kedro.registries import METRICS

log = logging.getLogger(__name__)


def hold_out(crops: PackedStore, validation: ValidationParams) -> tuple[np.ndarray, np.ndarray]:
    """Divide a store into crops that are held out and crops to train on.

    Crops that look the same, by their perceptual hash in the manifest, are all held out or none is: exact copies, and
    most of those that were encoded anew. A share is taken in the order of a hash of that hash, so it depends on neither
    seed nor order of the crops. Of whole sources, copies among the other crops are neither held out nor trained on.

    Args:
        crops: the store.
        validation: share, or the names of sources.

    Returns: places in the store that are held out, and places to train on, (H,) and (T,) int64, sorted.

    Errors: InputError for a source that the store does not have.
    """
    looks = crop_hashes(crops).perceptual[crops.whole_indices(np.arange(len(crops)))]
    if validation.share is not None:
        held = _share_of(looks, validation.share, 0, "held out")
    else:
        held = np.zeros(len(crops), bool)
        for name in validation.sources:
            held |= _of_source(crops, name)
    return np.flatnonzero(held), np.flatnonzero(~np.isin(looks, looks[held]))


def labels_in_use(crops: PackedStore, share: float | None, seed: int) -> np.ndarray:
    """Draw the share of a labeled store that fine-tuning may see, as if the others had no labels.

    Crops that look the same are drawn together, as `hold_out` does. A larger share holds a smaller one of that seed.

    Args:
        crops: the store.
        share: `finetuning.label_share`; None: all.
        seed: seed of the run.

    Returns: places in the store, (N,) int64, sorted.
    """
    if share is None:
        return np.arange(len(crops))
    looks = crop_hashes(crops).perceptual[crops.whole_indices(np.arange(len(crops)))]
    return np.flatnonzero(_share_of(looks, share, seed, "labels in use"))


def _share_of(looks: np.ndarray, share: float, seed: int, stream: str) -> np.ndarray:
    """Which crops are in a share, (N,) bool, given their perceptual hashes: in the order of a hash of that hash."""
    known, group, sizes = np.unique(looks, return_inverse=True, return_counts=True)
    draws = uniform(1, seed=seed, stream=stream, epoch=0, index=known.view(np.int64))[:, 0]
    order = np.argsort(draws, kind="stable")
    enough = int(np.searchsorted(sizes[order].cumsum(), share * len(looks))) + 1
    return np.isin(group, order[:enough])


def _of_source(crops: PackedStore, name: str) -> np.ndarray:
    """Which crops are of a source, (N,) bool."""
    names = [source.name for source in crops.sources]
    if name not in names:
        raise InputError(
            f"`finetuning.validation.sources` names {name!r}{did_you_mean(name, names)}, but the sources of "
            f"fine-tuning are {', '.join(names)}: name one of them"
        )
    places = np.arange(len(crops))
    return np.any([(places >= s.start) & (places < s.stop) for s in crops.sources if s.name == name], axis=0)


@dataclass
class Validation:
    """Reads held-out crops with the recognizer while it is trained, and keeps the weights of the best step.

    Attributes:
        params: how often, by which metric, with how much patience.
        loader: the held-out crops, in order, with labels.
        step: the best step so far; None before the first measurement.
        best: its value of the metric, 0 to 1.
        worse: measurements since, none of them better.
        weights: its weights, on the host.
    """

    params: ValidationParams
    loader: CropLoader
    step: int | None = None
    best: float = -1.0
    worse: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from lmim_kedro.scoring.metrics import score  # where nothing is scored, a machine may lack its packages

        labels = self.loader.store.labels(self.loader.order(0).tolist())
        if score(labels, labels, self.params.metric).count == 0:
            raise InputError(
                f"none of the {len(labels):,} held-out labels can be scored by {METRICS[self.params.metric].title}: "
                "hold out others, or set finetuning.validation.metric to another metric"
            )

    @torch.no_grad()
    def measure(self, recognizer: Recognizer) -> dict[str, float]:
        """Read every held-out crop greedily, in float32, as `evaluate` reads benchmarks.

        Returns: by name, the value of the metric and of the one that is given with it (accuracy, 1 - NED), 0 to 1.
        """
        from lmim_kedro.scoring.metrics import score, with_companion

        device, training = recognizer.encoder.cls_token.device, recognizer.training
        predictions: list[str] = []
        labels: list[str] = []
        recognizer.eval()
        for batch in self.loader.epoch(0):
            readings = recognizer.read_batch(to_input(send(batch.images, device)))
            predictions += [reading.text for reading in readings]
            labels += batch.labels or []
        recognizer.train(training)
        return {name: score(predictions, labels, name).accuracy for name in with_companion(self.params.metric)}

    def take(self, step: int, measured: dict[str, float], recognizer: Recognizer) -> None:
        """Keep the weights of a step if it is better than all before it."""
        if (value := measured[self.params.metric]) > self.best:
            weights = {name: tensor.detach().cpu().clone() for name, tensor in recognizer.state_dict().items()}
            self.step, self.best, self.worse, self.weights = step, value, 0, weights
        else:
            self.worse += 1

    @property
    def out_of_patience(self) -> bool:
        """Whether there were as many measurements without a better one as `patience` allows."""
        return self.params.patience is not None and self.worse >= self.params.patience

    def state(self) -> dict[str, Any]:
        """The best step so far, for a checkpoint."""
        return {"step": self.step, "best": self.best, "worse": self.worse, "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the best step of a checkpoint."""
        self.step, self.best, self.worse, self.weights = (state[name] for name in ("step", "best", "worse", "weights"))
