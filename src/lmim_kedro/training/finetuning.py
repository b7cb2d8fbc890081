"""Makes a recognizer of a pre-trained encoder and labeled crops."""

import logging
from pathlib import Path
from typing import cast

import pandas as pd

from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.recognizer import Recognizer, longest_label
from lmim_kedro.params import TrainingParams
from lmim_kedro.recipe import Recipe
from lmim_kedro.text.charset import FROM_LABELS, Charset
from lmim_kedro.training.jobs import Job, seed_initial_weights
from lmim_kedro.training.launch import train

log = logging.getLogger(__name__)


def finetune(
    crops: PackedStore, encoder: Encoder, recipe: Recipe, training: TrainingParams, state: Path
) -> tuple[Recognizer, pd.DataFrame]:
    """Train a recognizer that starts from `encoder` (paper, section 4.2).

    Labels that cannot be learned from (empty, too long) are counted in the log and left out, without a replacement.

    Returns:
        the recognizer and the metrics table of its training.
    """
    finetuning = recipe.finetuning
    seed_initial_weights(recipe, "fine-tuning")
    charset = choose_charset(crops, recipe)
    recognizer = Recognizer(recipe.model, charset, finetuning.decoder, finetuning.max_length)
    recognizer.encoder.load_state_dict(encoder.state_dict())
    trained, metrics = train(Job("fine-tuning", crops, recipe, training, state), recognizer)
    return cast(Recognizer, trained), metrics


def choose_charset(crops: PackedStore, recipe: Recipe) -> Charset:
    """The charset that `finetuning.charset` names, or the characters of the labels."""
    finetuning = recipe.finetuning
    if finetuning.charset != FROM_LABELS:
        return Charset.named(finetuning.charset)
    longest = longest_label(recipe.model, finetuning.decoder, finetuning.max_length)
    charset = Charset.from_labels(crops.labels(range(len(crops))), longest)
    log.info("charset from the labels: %s", charset.sentence())
    return charset
