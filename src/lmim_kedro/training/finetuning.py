"""Makes a recognizer of labeled crops and a pre-trained encoder, or another recognizer."""

import logging
from pathlib import Path
from typing import cast

import pandas as pd

from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.recognizer import Recognizer, longest_label
from lmim_kedro.models.start import load_start, take_over
from lmim_kedro.models.weights import Origin
from lmim_kedro.params import TrainingParams
from lmim_kedro.recipe import Recipe
from lmim_kedro.text.charset import FROM_LABELS, FROM_START, Charset
from lmim_kedro.training.jobs import Job, seed_initial_weights
from lmim_kedro.training.launch import train
from lmim_kedro.training.validation import labels_in_use

log = logging.getLogger(__name__)


def finetune(
    crops: PackedStore,
    encoder: Encoder | None,
    recipe: Recipe,
    training: TrainingParams,
    state: Path,
    pseudo: PackedStore | None = None,
) -> tuple[Recognizer, pd.DataFrame]:
    """Train a recognizer that starts from `encoder` (paper, section 4.2), or from `finetuning.start`.

    Labels that cannot be learned from (empty, too long) are counted in the log and left out, without a replacement.

    Args:
        crops: labeled crops.
        encoder: a pre-trained encoder; not used where the recipe names a recognizer to start from.
        recipe: what to train, and how.
        training: how this machine runs it.
        state: folder of the training states.
        pseudo: pseudo-labeled crops to train on too, as many as `recipe.selftrain` says.

    Returns:
        the recognizer and the metrics table of its training.

    Errors: InputError if there is nothing to start from, or it does not fit; and as `train`.
    """
    finetuning = recipe.finetuning
    seed_initial_weights(recipe, "fine-tuning")
    charset = choose_charset(crops, recipe)
    recognizer = Recognizer(recipe.model, charset, finetuning.decoder, finetuning.max_length)
    recognizer.rotate_tall = recipe.rotate_tall
    if finetuning.start is not None:
        start, imported = load_start(finetuning, recipe.model)
        log.info("fine-tuning starts from %s", imported.sentence())
        log.info("charset: %s", start.charset.change(charset))
        take_over(recognizer, start, finetuning.start)
    elif encoder is not None:
        recognizer.encoder.load_state_dict(encoder.state_dict())
    else:
        raise InputError("fine-tuning has nothing to start from: give an encoder, or set finetuning.start")
    trained, metrics = train(Job("fine-tuning", crops, recipe, training, state, pseudo=pseudo), recognizer)
    trained.origin = Origin(recipe.model_dump(mode="json"))
    return cast(Recognizer, trained), metrics


def choose_charset(crops: PackedStore, recipe: Recipe) -> Charset:
    """The charset that `finetuning.charset` names, the characters of the labels, or those of `finetuning.start`."""
    finetuning = recipe.finetuning
    if finetuning.charset == FROM_START:
        return load_start(finetuning, recipe.model)[0].charset
    if finetuning.charset != FROM_LABELS:
        return Charset.named(finetuning.charset)
    longest = longest_label(recipe.model, finetuning.decoder, finetuning.max_length)
    in_use = labels_in_use(crops, finetuning.label_share, recipe.seed)
    charset = Charset.from_labels(crops.labels(in_use), longest)
    log.info("charset from the labels: %s", charset.sentence())
    return charset
