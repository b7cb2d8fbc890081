"""Pseudo-labels: which unlabeled crops are read, and which readings become labels to fine-tune on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lmim_kedro.crops.checks.hashes import crop_hashes, crop_names
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.errors import InputError, did_you_mean
from lmim_kedro.files import whole
from lmim_kedro.recipe import Recipe
from lmim_kedro.training.validation import labels_in_use

SCHEMA = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("text", pa.string()),
        ("confidence", pa.float64()),
        ("source", pa.string()),
    ]
)
"""The columns of a list of pseudo-labels: `image.path` is the crop's key in its source."""
_CHUNK = 1000


def unlabeled_places(
    unlabeled: PackedStore, labeled: PackedStore, recipe: Recipe, sources: tuple[str, ...] = ()
) -> np.ndarray:
    """The crops of a store to read: those that look like no crop with a label in use, by their perceptual hash.

    So a crop that is held out of fine-tuning is not trained on under a pseudo-label, and no label competes with a
    reading.

    Args:
        unlabeled: crops whose labels, if there are any, are not looked at.
        labeled: crops to fine-tune on.
        recipe: says which of their labels are in use.
        sources: names of the sources of `unlabeled`; none: all.

    Returns: places in the store, (N,) int64, sorted.

    Errors: InputError for a source that the store does not have, or if no crop is left.
    """
    names = [source.name for source in unlabeled.sources]
    for name in sources:
        if name not in names:
            raise InputError(
                f"`selftrain.sources` names {name!r}{did_you_mean(name, names)}, but the sources of pre-training are "
                f"{', '.join(names)}: name some of them, or none for all"
            )
    wanted = np.zeros(len(unlabeled), bool)
    for source in unlabeled.sources:
        wanted[source.start : source.stop] = not sources or source.name in sources
    in_use = labels_in_use(labeled, recipe.finetuning.label_share, recipe.seed)
    known = _looks(labeled)[in_use]
    places = np.flatnonzero(wanted & ~np.isin(_looks(unlabeled), known))
    if len(places) == 0:
        raise InputError(
            f"all {int(wanted.sum()):,} unlabeled crops of {unlabeled.path} look like labeled ones: name crops without "
            "labels under pretraining.sources, and run `kedro run --pipelines=ingest`"
        )
    return places


def _looks(store: PackedStore) -> np.ndarray:
    return crop_hashes(store).perceptual[store.whole_indices(np.arange(len(store)))]


def choose_labels(readings: pd.DataFrame, min_confidence: float) -> pd.DataFrame:
    """The readings that become labels: as sure as that, and not empty.

    Errors: InputError if there is none, with the confidence of the surest.

    Example:
        >>> read = pd.DataFrame({"prediction": ["a", "", "b"], "confidence": [0.9, 1.0, 0.5]})
        >>> choose_labels(read, 0.9)["prediction"].tolist()
        ['a']
    """
    written = readings[readings["prediction"] != ""]
    chosen = written[written["confidence"] >= min_confidence]
    if chosen.empty:
        surest = f"the surest has {written['confidence'].max():.4f}" if len(written) else "all are empty"
        raise InputError(
            f"none of {len(readings):,} readings has a confidence of {min_confidence:g} or more ({surest}): lower "
            "selftrain.min_confidence, or let a better recognizer read"
        )
    return chosen


def write_labels(crops: PackedStore, chosen: pd.DataFrame, path: Path) -> None:
    """Write pseudo-labels, with their images, as a Parquet file that `open_source` reads as labeled crops.

    Args:
        crops: the store that was read.
        chosen: columns index (in the store), prediction, confidence.
        path: the file; it appears whole or not at all.
    """
    names = crop_names(crops, crops.whole_indices(chosen["index"].to_numpy()))
    with whole(path) as part, pq.ParquetWriter(part, SCHEMA) as writer:
        for start in range(0, len(chosen), _CHUNK):
            rows, named = chosen.iloc[start : start + _CHUNK], names.iloc[start : start + _CHUNK]
            images = zip(crops.fetch(rows["index"].to_numpy()), named["key"], strict=True)
            columns = {
                "image": [{"bytes": data, "path": key} for data, key in images],
                "text": rows["prediction"].tolist(),
                "confidence": rows["confidence"].tolist(),
                "source": named["source"].tolist(),
            }
            writer.write_table(pa.Table.from_pydict(columns, SCHEMA))


def facts(unlabeled: PackedStore, readings: pd.DataFrame, chosen: pd.DataFrame, **given: Any) -> dict[str, Any]:
    """What a round has read and kept, as plain values.

    Args:
        unlabeled: the store that was read.
        readings: of each crop that was read: benchmark (the source's name), confidence.
        chosen: those of them that became labels.
        given: more facts, which come first.
    """
    kept = chosen["benchmark"].value_counts()
    counts = {
        "unlabeled": len(unlabeled),
        "read": len(readings),
        "kept": len(chosen),
        "texts": int(chosen["prediction"].nunique()),
        "mean_confidence": round(float(readings["confidence"].mean()), 4),
    }
    sources = {
        str(name): {"read": int(count), "kept": int(kept.get(name, 0))}
        for name, count in readings["benchmark"].value_counts(sort=False).items()
    }
    return given | counts | {"sources": sources}
