"""From a pre-trained encoder and labelled crops to a recogniser."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pandas as pd

from lmim_kedro.crops.store import PackedStore
from lmim_kedro.models.charset import Charset
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.params import Recipe, TrainingParams
from lmim_kedro.training.jobs import Job, seed_initial_weights
from lmim_kedro.training.launch import train


def finetune(
    crops: PackedStore, encoder: Encoder, recipe: Recipe, training: TrainingParams, state: Path
) -> tuple[Recognizer, pd.DataFrame]:
    """Train a recogniser that starts from `encoder` (paper, section 4.2).

    Labels that cannot be learnt from (empty, too long) are counted in the log and left out; no other crop takes
    their place.

    Returns:
        the recogniser and the metrics of its training.
    """
    finetuning = recipe.finetuning
    seed_initial_weights(recipe, "fine-tuning")
    charset = Charset.named(finetuning.charset)
    recognizer = Recognizer(recipe.model, charset, finetuning.decoder, finetuning.max_length)
    recognizer.encoder.load_state_dict(encoder.state_dict())
    if finetuning.freeze_encoder:
        recognizer.encoder.requires_grad_(False)
    trained, metrics = train(Job("fine-tuning", crops, recipe, training, state), recognizer)
    return cast(Recognizer, trained), metrics
