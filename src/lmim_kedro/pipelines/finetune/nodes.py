"""Nodes of the finetune stage."""

import logging
from pathlib import Path

from lmim_kedro.params import CardParams, TrainingParams
from lmim_kedro.pipelines.node_types import DataFrame, Encoder, Json, PackedStore, Recognizer
from lmim_kedro.recipe import Recipe, changes, resolve_finetuning, saved_recipe

log = logging.getLogger(__name__)


def finetune(
    crops: PackedStore,
    encoder: Encoder | None,
    pretraining_recipe: Json | None,
    recipe: Recipe,
    training: TrainingParams,
    state: Path,
) -> tuple[Recognizer, DataFrame]:
    """The recognizer and the metrics of its training."""
    from lmim_kedro.training import finetuning

    return finetuning.finetune(crops, encoder, resolve_recipe(recipe, pretraining_recipe), training, state)


def resolve_recipe(recipe: Recipe, pretraining_recipe: Json | None) -> Recipe:
    """The whole recipe: what the encoder was pre-trained with, and how it is fine-tuned now.

    What parameters say of pre-training has no effect on an encoder that is made; where they differ, the log says so.
    Fine-tuning from a whole recognizer has nothing to do with what was pre-trained here.
    """
    if recipe.finetuning.start is not None or pretraining_recipe is None:
        return recipe
    made = saved_recipe(pretraining_recipe, "the recipe.json of the encoder")
    if changed := changes(pretraining_recipe, recipe, "pretraining", "views"):
        log.warning(
            "the encoder was pre-trained with other parameters (%s), and stays as it is: "
            "`kedro run --pipelines=pretrain` makes another one",
            "; ".join(changed),
        )
    return resolve_finetuning(recipe, made)


def note_recipe(recognizer: Recognizer) -> Json:
    """The recipe of the recognizer that has been saved, with the checksum of its weights."""
    from lmim_kedro.models.weights import recorded_recipe

    return recorded_recipe(recognizer)


def describe_recognizer(
    recognizer: Recognizer, crops: PackedStore, recipe: Json, card: CardParams, training: TrainingParams
) -> str:
    """The model card of a recognizer that has not been scored."""
    from lmim_kedro.reporting.cards import model_card
    from lmim_kedro.reporting.facts import run_facts

    sources = {"finetuning": [(source.name, source.stop - source.start) for source in crops.sources]}
    return model_card(recipe, run_facts(recognizer, training.device), sources, card)
