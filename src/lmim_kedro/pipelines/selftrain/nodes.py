"""Nodes of the selftrain pipeline."""

import logging
import shutil
from pathlib import Path

from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams, SelftrainParams, TrainingParams
from lmim_kedro.pipelines.finetune.nodes import resolve_recipe
from lmim_kedro.pipelines.node_types import DataFrame, Encoder, Json, PackedStore, Recognizer
from lmim_kedro.recipe import Recipe

log = logging.getLogger(__name__)


def read_unlabeled(
    unlabeled: PackedStore, labeled: PackedStore, recipe: Recipe, selftrain: SelftrainParams, training: TrainingParams
) -> DataFrame:
    """What the recognizer reads in each unlabeled crop that looks like none whose label is in use."""
    from lmim_kedro.models.folder import named_place
    from lmim_kedro.models.weights import load_recognizer
    from lmim_kedro.reading.reader import read_store
    from lmim_kedro.training.device import pick_device, use_threads
    from lmim_kedro.training.selftraining import unlabeled_places

    use_threads(training.threads)
    places, named = unlabeled_places(unlabeled, labeled, recipe, selftrain.sources), reader_of(recipe, selftrain)
    log.info("%s of %s unlabeled crops are read by %s", f"{len(places):,}", f"{len(unlabeled):,}", named)
    how = selftrain.batch_size, pick_device(training.device), selftrain.looks
    readings = read_store(load_recognizer(named_place(named)), unlabeled, *how, language=None, places=places)
    return readings.drop(columns="label", errors="ignore")


def choose_labels(
    readings: DataFrame, unlabeled: PackedStore, recipe: Recipe, selftrain: SelftrainParams, file: Path
) -> tuple[Path, Json]:
    """The sure readings, written with their crops as a list that ingest can read, and how many there are."""
    from lmim_kedro.training import selftraining

    least = selftrain.min_confidence
    chosen = selftraining.choose_labels(readings, least)
    selftraining.write_labels(unlabeled, chosen, file)
    given = {"recognizer": reader_of(recipe, selftrain), "min_confidence": least}
    found = selftraining.facts(unlabeled, readings, chosen, **given)
    counts = f"{found['kept']:,}", f"{found['read']:,}", least, f"{found['texts']:,}"
    log.info("%s of %s readings have a confidence of %g or more, and become labels: %s distinct texts", *counts)
    return file, found


def pack_labels(labels: Path, folder: Path, ingest: IngestParams) -> PackedStore:
    """The pseudo-labeled crops as a packed store, made anew."""
    from lmim_kedro.crops.ingest.plan import prepare
    from lmim_kedro.crops.sources.open import open_source

    if folder.exists():
        shutil.rmtree(folder)
    return prepare([open_source("pseudo", {"path": str(labels)})], ingest, folder, need_labels=True)


def finetune_on_both(
    crops: PackedStore,
    encoder: Encoder | None,
    pretraining_recipe: Json | None,
    recipe: Recipe,
    selftrain: SelftrainParams,
    training: TrainingParams,
    state: Path,
    pseudo: PackedStore,
) -> tuple[Recognizer, DataFrame]:
    """The recognizer that learned from labels and from readings, and the metrics of its training."""
    from lmim_kedro.training import finetuning

    made = selftrain.model_copy(update={"recognizer": reader_of(recipe, selftrain)})
    whole = resolve_recipe(recipe, pretraining_recipe).model_copy(update={"selftrain": made})
    return finetuning.finetune(crops, encoder, whole, training, state, pseudo)


def reader_of(recipe: Recipe, selftrain: SelftrainParams) -> str:
    """The recognizer that reads the unlabeled crops. Errors: InputError if none is named."""
    named = selftrain.recognizer or recipe.finetuning.start
    if named is None:
        raise InputError(
            "`selftrain.recognizer` is null, and so is `finetuning.start`: name the recognizer that reads the "
            "unlabeled crops, as in `kedro run --pipelines=selftrain --params=variant=selftrain,"
            "finetuning.start=data/06_models/lmim/ENV/seed0/recognizer`"
        )
    return named
