"""The data path: decoding, loading, guidance views."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from benchmarks import data
from benchmarks.measure import Measurement, compare
from lmim_kedro.crops.loader import CropLoader
from lmim_kedro.crops.pixels import decode_batch
from lmim_kedro.crops.store.environments import environment
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.params import ViewPreset
from lmim_kedro.views.guidance import GuidanceViews


def measurements() -> dict[str, Callable[[], Measurement]]:
    """By name; those of the GPU only where there is one."""
    found = {"decode": decode, "loader": loader, "loader_uncompressed": loader_uncompressed, "views_cpu": views_cpu}
    if torch.cuda.is_available():
        found["views_gpu"] = views_gpu
    return found


def decode() -> Measurement:
    """JPEG -> 32 x 128 on one core; beside PIL, one crop at a time."""
    blobs = data.store().fetch(range(512))
    return compare(
        "decode", lambda: decode_batch(blobs, 32, 128), lambda: [data.pil_decode(blob) for blob in blobs], len(blobs)
    )


def loader() -> Measurement:
    """Packed store -> shuffled batches of 256; beside one LMDB read, one PIL decode and one tensor a crop."""
    store = data.store()
    batches = CropLoader(store, height=32, width=128, batch_size=256, seed=0)
    epochs = iter(range(10**9))
    order = np.random.default_rng(0).permutation(len(store))[:1024]

    def ours() -> None:
        for _ in batches.epoch(next(epochs)):
            pass

    def plain() -> None:
        for start in range(0, len(order), 256):
            crops = []
            for index in order[start : start + 256]:
                shard, local = divmod(int(index), store.shards[0].crops)
                with environment(store.shards[shard].folder).begin() as txn:
                    pixels = data.pil_decode(txn.get(f"image-{local + 1:09d}".encode()) or b"")
                crops.append(torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255)
            torch.stack(crops)

    return compare("loader", ours, plain, len(store) // 256 * 256, reference_crops=len(order))


def loader_uncompressed() -> Measurement:
    """Shuffled batches of 256 from crops kept uncompressed at 32 x 128; beside the same loader on the JPEGs."""
    compressed, plain = data.store(), data.store((32, 128))

    def epochs_of(store: PackedStore) -> Callable[[], None]:
        batches, epochs = CropLoader(store, height=32, width=128, batch_size=256, seed=0), iter(range(10**9))

        def epoch() -> None:
            for _ in batches.epoch(next(epochs)):
                pass

        return epoch

    crops = len(compressed) // 256 * 256
    found = compare("loader_uncompressed", epochs_of(plain), epochs_of(compressed), crops)
    sizes = [sum(map(len, store.fetch(range(crops)))) for store in (plain, compressed)]
    return found | {"times_the_bytes": sizes[0] / sizes[1]}


def views_cpu() -> Measurement:
    """Medium guidance views on one CPU core; beside PIL, one crop and one operation at a time."""
    return _views("views_cpu", "cpu", 256)


def views_gpu() -> Measurement:
    """Medium guidance views on the GPU; beside PIL on one CPU core."""
    return _views("views_gpu", "cuda", 2048)


def _views(name: str, device: str, crops: int, preset: ViewPreset = data.MEDIUM) -> Measurement:
    arrays, aspects = decode_batch(data.store().fetch(range(crops)), 32, 128)
    images, aspect = torch.from_numpy(arrays).to(device), torch.from_numpy(aspects).to(device)
    index, draw, views = np.arange(crops), random.Random(0), GuidanceViews(preset)
    pictures = [Image.fromarray(array.transpose(1, 2, 0)) for array in arrays[:128]]
    epochs = iter(range(10**9))
    return compare(
        name,
        lambda: views(images, aspect, seed=0, epoch=next(epochs), index=index),
        lambda: [data.pil_view(picture, draw) for picture in pictures],
        crops,
        reference_crops=len(pictures),
    )
