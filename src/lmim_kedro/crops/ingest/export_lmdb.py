"""Crops as one LMDB for other tools: `lmim-kedro export-lmdb SOURCE TARGET`.

SOURCE is a packed store, or raw crops in any layout that is detected: a folder with images and a list of labels, an
ICDAR or Union14M annotation, another LMDB. TARGET becomes a folder with data.mdb: num-samples, image-%09d from 1 and,
with labels, label-%09d in UTF-8. It appears when it is whole. Raw crops that ingest would set aside are left out, and
counted by their reasons; all others keep their bytes.
"""

import glob
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.sources.source import RawCrop
from lmim_kedro.crops.store.packed import STORE_FILE, PackedStore
from lmim_kedro.crops.store.shard_writer import ShardWriter, clear_parts
from lmim_kedro.crops.validate import inspect_crop, quiet_decoders
from lmim_kedro.errors import InputError
from lmim_kedro.params import MAX_PIXELS
from lmim_kedro.progress import progress_bar

_BATCH = 1000


@dataclass
class Exported:
    """What was written: `left_out` has, for each reason, how many crops and the key of the first."""

    target: Path
    labeled: bool
    crops: int = 0
    left_out: dict[str, tuple[int, str]] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.crops:,} crops {'with' if self.labeled else 'without'} labels written to {self.target}"]
        lines += [f"left out: {n:,} {reason} (the first: {key})" for reason, (n, key) in self.left_out.items()]
        return "\n".join(lines)


def export(
    source: Path,
    target: Path,
    use_labels: bool | None = None,
    layout: str | None = None,
    images: str | None = None,
    allow_outside: bool = False,
) -> Exported:
    """Write crops into one LMDB.

    Args:
        source: a packed store or raw crops.
        target: folder that is not there yet, or empty.
        use_labels: True: there must be labels; False: without them; None: with labels if there are any.
        layout: of raw crops, a name of LAYOUTS; None: detected.
        images: for a list, the folder that its paths start from, relative to the list; None: looked for.
        allow_outside: read also what paths of a list, or links, lead to outside that folder.

    Raises:
        InputError: if there are no crops or, where asked for, no labels; if the target holds something; if the disk
            is full. Then the target is as it was.
    """
    if target.is_dir() and any(target.iterdir()):
        raise InputError(f"{target} is not empty: name a folder that is not there yet")
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file: name a folder that is not there yet")
    if (source / STORE_FILE).is_file():
        store = PackedStore(source)
        labeled, total, crops = store.labeled, len(store), _packed(store, use_labels is not False)
    else:
        spec = {"path": str(source), "format": layout, "images": images, "use_labels": use_labels is not False}
        spec |= {"allow_outside": True} if allow_outside else {}
        raw = open_source(source.name, {name: value for name, value in spec.items() if value is not None})
        labeled, total, crops = raw.labeled, len(raw), raw.read(0, len(raw))
    if use_labels and not labeled:
        raise InputError(f"{source} has no labels: leave --use-labels out, or name a labeled source")
    exported = Exported(target, labeled and use_labels is not False)
    clear_parts(target.parent, glob.escape(target.name))
    with quiet_decoders(), ShardWriter(target) as writer, progress_bar(total, desc="export", unit="crop") as bar:
        for crop in crops:
            reason = _fault(crop, exported.labeled)
            if reason is None and crop.data is not None:
                writer.add(crop.data, crop.label)
            else:
                phrase = (reason or "missing image").partition(":")[0]
                count, first = exported.left_out.get(phrase, (0, crop.key))
                exported.left_out[phrase] = (count + 1, first)
            bar.update()
        exported.crops = writer.crops
        if not exported.crops:
            raise InputError(f"none of the {total:,} crops of {source} can be used:\n{exported}")
    return exported


def _packed(store: PackedStore, use_labels: bool) -> Iterator[RawCrop]:
    for start in range(0, len(store), _BATCH):
        indices = range(start, min(start + _BATCH, len(store)))
        labels = store.labels(indices) if store.labeled and use_labels else [None] * len(indices)
        for index, data, label in zip(indices, store.fetch(indices), labels, strict=True):
            yield RawCrop(f"crop {index}", data, label)


def _fault(crop: RawCrop, labeled: bool) -> str | None:
    """Why a crop is left out; None if it is written as it came."""
    if crop.data is None:
        return crop.reason or "missing image"
    return inspect_crop(crop.data, MAX_PIXELS).reason or crop.reason or crop.label_fault(labeled)
