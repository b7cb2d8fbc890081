"""Nodes of the ingest stage."""

import logging
from pathlib import Path
from typing import Any

from lmim_kedro.crops.sources.source import Source
from lmim_kedro.params import CardParams, IngestParams
from lmim_kedro.pipelines.node_types import DataFrame, Figure, Manifest, PackedStore, ndarray
from lmim_kedro.recipe import Recipe

log = logging.getLogger(__name__)


def pack_crops(sources: list[Source], folder: Path, ingest: IngestParams) -> PackedStore:
    """A packed store in `folder`, with or without labels; shards that are there already are kept."""
    return _pack(sources, folder, ingest, need_labels=False)


def pack_labeled_crops(sources: list[Source], folder: Path, ingest: IngestParams) -> PackedStore:
    """A packed store in `folder`, in which every crop has a label."""
    return _pack(sources, folder, ingest, need_labels=True)


def find_duplicates(crops: PackedStore, ingest: IngestParams) -> DataFrame:
    """Crops that occur several times in a set, exactly or nearly."""
    from lmim_kedro.crops.checks import duplicates

    return duplicates.find_duplicates(crops, ingest)


def list_clusters(duplicates: DataFrame, crops: PackedStore, ingest: IngestParams) -> DataFrame:
    """The largest clusters of copies in a set, such as a watermark."""
    from lmim_kedro.crops.checks import duplicates as found

    clusters = found.list_clusters(duplicates, crops, ingest)
    if len(clusters):
        log.info("clusters of copies in %r\n%s", crops, clusters.head(10).to_string(index=False))
    return clusters


def find_leaks(crops: PackedStore, benchmarks: PackedStore, ingest: IngestParams) -> DataFrame:
    """Crops to train on that are crops of a benchmark, exactly or nearly."""
    from lmim_kedro.crops.checks import leaks

    found = leaks.find_leaks(crops, benchmarks, ingest)
    log.info(leaks.in_words(found, ingest))
    return found


def draw_leaks(leaks: DataFrame, crops: PackedStore, benchmarks: PackedStore) -> ndarray:
    """A contact sheet of leaks, each beside the benchmark's crop."""
    from lmim_kedro.crops.checks import leaks as checks

    return checks.draw_leaks(leaks, crops, benchmarks)


def leave_out(
    crops: PackedStore, leaks: DataFrame, duplicates: DataFrame, clusters: DataFrame, ingest: IngestParams
) -> PackedStore:
    """The store without leaks and clusters, as the parameters ask; no crop is moved or removed."""
    from lmim_kedro.crops.checks.leaks import choose_exclusions
    from lmim_kedro.crops.store.packed import exclude

    return exclude(crops, choose_exclusions(leaks, duplicates, clusters, ingest))


def describe_data(recipe: Recipe, **found: Any) -> tuple[DataFrame, Figure]:
    """The data card of all sources, and a drawing of it.

    Args:
        recipe: names the recognizer's characters and its longest word.
        found: <use>_crops and <use>_duplicates of the three uses, <use>_leaks of pretraining and finetuning.
    """
    from lmim_kedro.crops.checks.data_card import LabelRule, describe_data
    from lmim_kedro.models.recognizer import longest_label
    from lmim_kedro.reporting.data_card import draw_data_card
    from lmim_kedro.training.finetuning import choose_charset

    longest = longest_label(recipe.model, recipe.finetuning.decoder, recipe.finetuning.max_length)
    charset = choose_charset(found["finetuning_crops"], recipe)
    known = frozenset(charset.characters + (charset.characters.upper() if charset.fold_case else ""))
    card = describe_data(found, LabelRule(known, longest))
    shown = ["use", "source", "ok", "set_aside", "excluded", "labels_too_long", "labels_outside"]
    copies = ["duplicates_exact", "duplicates_near", "leaks_exact", "leaks_near"]
    log.info("data card\n%s", card[shown + copies].to_string(index=False))
    return card, draw_data_card(card)


def write_cards(data_card: DataFrame, card: CardParams) -> tuple[str, str, str]:
    """The card of the packed crops of each use: pretraining, finetuning, benchmarks."""
    from lmim_kedro.reporting.cards import data_cards

    pretraining, finetuning, benchmarks = data_cards(data_card, card, ("pretraining", "finetuning", "benchmarks"))
    return pretraining, finetuning, benchmarks


def list_crops(crops: PackedStore) -> tuple[Manifest, DataFrame]:
    """The manifest of a packed store, table by table, and its summary, a row per source."""
    from lmim_kedro.crops.store.manifest import manifest_tables, summarize

    summary = summarize(manifest_tables(crops))
    log.info("%r\n%s", crops, summary.to_string(index=False))
    return manifest_tables(crops), summary


def _pack(sources: list[Source], folder: Path, ingest: IngestParams, need_labels: bool) -> PackedStore:
    from lmim_kedro.crops.ingest.plan import prepare

    for source in sources:
        log.info("%s: %s", source.name, source.description)
    return prepare(sources, ingest, folder, need_labels)
