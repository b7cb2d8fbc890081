"""From a pre-trained encoder and labelled crops to a recogniser."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lmim_kedro.crops.loader import CropLoader
from lmim_kedro.crops.random import derive_seed
from lmim_kedro.crops.store import PackedStore
from lmim_kedro.errors import InputError
from lmim_kedro.models.charset import FROM_LABELS, Charset, check_labels
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.recognizer import Recognizer, longest_label
from lmim_kedro.params import Recipe, TrainingParams
from lmim_kedro.training.loop import fit
from lmim_kedro.training.state import StateFolder
from lmim_kedro.training.tasks import FinetuningTask
from lmim_kedro.views.reading import ReadingAugmentation

log = logging.getLogger(__name__)


def finetune(
    crops: PackedStore, encoder: Encoder, recipe: Recipe, training: TrainingParams, state: Path
) -> tuple[Recognizer, pd.DataFrame]:
    """Train a recogniser that starts from `encoder` (paper, section 4.2).

    Labels that cannot be learnt from (empty, too long) are counted in the log and left out; no other crop takes
    their place.

    Returns:
        the recogniser and the metrics of its training.
    """
    finetuning, size = recipe.finetuning, recipe.model
    labels = crops.labels(np.arange(len(crops)))
    charset = choose_charset(recipe, labels)
    torch.manual_seed(derive_seed(recipe.seed, "initial fine-tuning", 0))
    recognizer = Recognizer(size, charset, finetuning.decoder, finetuning.max_length)
    recognizer.encoder.load_state_dict(encoder.state_dict())
    if finetuning.freeze_encoder:
        recognizer.encoder.requires_grad_(False)
    spell_unknown = finetuning.decoder == "autoregressive"
    checked = check_labels(labels, charset, recognizer.longest_label, spell_unknown)
    log.info("fine-tuning: %s", checked.sentence())
    recognizer.labels = checked.facts()
    if len(checked.usable) == 0:
        raise InputError(f"no label can be learnt from ({checked.sentence()}): check the labels and finetuning.charset")
    loader = CropLoader(
        crops,
        height=size.image_height,
        width=size.image_width,
        batch_size=finetuning.optimisation.batch_size,
        seed=derive_seed(recipe.seed, "order fine-tuning", 0),
        indices=checked.usable,
        threads=training.loader_threads,
        with_labels=True,
    )
    augmentation = None
    if finetuning.augmentation == "abinet":
        augmentation = ReadingAugmentation(size.image_height, size.image_width)
    identity = recipe.model_dump(mode="json") | {"stage": "fine-tuning", "crops": crops.fingerprint}
    folder = StateFolder(state / "fine-tuning", identity, training.keep_checkpoints)
    task = FinetuningTask(recognizer, augmentation, derive_seed(recipe.seed, "fine-tuning", 0))
    return recognizer, fit(task, loader, finetuning.optimisation, training, recipe.seed, folder)


def choose_charset(recipe: Recipe, labels: Sequence[str]) -> Charset:
    """The charset that `finetuning.charset` names, or the one that the labels make."""
    finetuning = recipe.finetuning
    if finetuning.charset != FROM_LABELS:
        return Charset.named(finetuning.charset)
    charset = Charset.from_labels(labels, longest_label(recipe.model, finetuning.decoder, finetuning.max_length))
    log.info("charset from the labels: %s", charset.sentence())
    return charset
