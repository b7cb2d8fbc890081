"""Writes guidance views into a packed store, for machines whose GPU is the bottleneck."""

import logging
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch

from lmim_kedro.crops.pixels import decode_stored, shown_aspect
from lmim_kedro.crops.store.cards import SHARD_FILE, shard_fault
from lmim_kedro.crops.store.packed import STORE_FILE, PackedStore, shard_folder, write_card
from lmim_kedro.crops.store.shard_writer import ShardWriter, clear_parts
from lmim_kedro.errors import InputError
from lmim_kedro.files import digest, read_json, write_json
from lmim_kedro.locks import writing
from lmim_kedro.params import ViewPreset
from lmim_kedro.views.guidance import GuidanceViews

log = logging.getLogger(__name__)

VIEWS_FILE = "views.json"  # in the store's folder: a hash of the crops, the preset and the other inputs of the draws
_BATCH = 256  # crops whose views are drawn at once


@dataclass(frozen=True)
class ViewStorePlan:
    """The content of a store of views; nothing is drawn until `write`.

    View v of crop i has index v * len(crops) + i and the source `view v`. It is the view that `seed` gives in epoch v.

    Args:
        crops: crops to draw views of.
        preset: preset of the guidance views.
        views: views per crop; 0 for an empty store, and views that are drawn while training.
        height, width: size of the views, pixels.
        seed: seed of the draws.
        shard_crops: largest number of views in a shard, for `write`.
        keep_ratio: whether crops keep width / height (ModelParams.keep_ratio).
    """

    crops: PackedStore
    preset: ViewPreset
    views: int
    height: int
    width: int
    seed: int
    shard_crops: int = 0
    keep_ratio: bool = False

    def write(self, store: Path) -> PackedStore:
        """Write the shards that the store lacks, and return the store; a second process waits for the first.

        Raises:
            InputError: if the disk is full.
        """
        with writing(store, wait=True):
            return self._write(store)

    def _write(self, store: Path) -> PackedStore:
        parts = product(range(self.views), range(0, len(self.crops), self.shard_crops))
        shards = [(shard_folder(store, number), view, start) for number, (view, start) in enumerate(parts)]
        whole = digest([self._asked(), self.views, len(self.crops), self.shard_crops])
        if read_json(store / STORE_FILE).get("fingerprint") != whole:
            (store / STORE_FILE).unlink(missing_ok=True)
        (store / "shards").mkdir(parents=True, exist_ok=True)
        clear_parts(store / "shards")
        write_json(store / VIEWS_FILE, {"of": digest(self._asked())})
        done = [(folder, f"view {view}", self._write_shard(folder, view, start)) for folder, view, start in shards]
        return write_card(store, whole, False, done)

    def _write_shard(self, folder: Path, view: int, start: int) -> int:
        """Write one shard unless it exists; returns how many views it holds."""
        stop = min(start + self.shard_crops, len(self.crops))
        asked = digest([self._asked(), view, start, stop])
        fault = shard_fault(folder)
        if fault is not None and folder.is_dir():
            log.warning("the shard %s is drawn anew: %s", folder, fault)
        if fault is not None or read_json(folder / SHARD_FILE).get("fingerprint") != asked:
            draw = GuidanceViews(self.preset)
            with ShardWriter(folder) as writer:
                for first in range(start, stop, _BATCH):
                    index = np.arange(first, min(first + _BATCH, stop))
                    size = self.height, self.width
                    images, aspect = decode_stored(self.crops, index, *size, keep_ratio=self.keep_ratio)
                    shown = shown_aspect(aspect, *size, self.keep_ratio)
                    given = torch.from_numpy(images), torch.from_numpy(shown)
                    for drawn in draw(*given, seed=self.seed, epoch=view, index=index):
                        writer.add(_encode(drawn), None)
                files = {name: card.model_dump() for name, card in writer.seal().items()}
                write_json(writer.part / SHARD_FILE, {"fingerprint": asked, "crops": stop - start, "files": files})
        return stop - start

    def require(self, views: PackedStore) -> None:
        """Check that a store holds the views of this plan, whose index tells their crop. Errors: InputError."""
        if len(views) != self.views * len(self.crops):
            raise InputError(
                f"{views.path} holds {len(views):,} guidance views, and not {self.views} of each of "
                f"{len(self.crops):,} crops, as views.materialize says: draw them with `kedro run --pipelines=views` "
                "and the same --env and --params"
            )
        if read_json(views.path / VIEWS_FILE).get("of") != digest(self._asked()):
            raise InputError(
                f"the guidance views in {views.path} are of other crops, another preset or another seed than this "
                "run's: draw them anew with `kedro run --pipelines=views` and the same --env and --params"
            )

    def _asked(self) -> list[object]:
        """All that a view depends on, beside its crop and number."""
        asked = [self.crops.fingerprint, self.preset.model_dump(mode="json"), self.height, self.width, self.seed]
        return [*asked, "keep_ratio"] if self.keep_ratio else asked


def _encode(view: torch.Tensor) -> bytes:
    """A view (3, H, W) in [0, 1] as PNG; it loses only the rounding to 8 bits."""
    pixels = view.mul(255).round().byte().permute(1, 2, 0).numpy()
    return cv2.imencode(".png", pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
