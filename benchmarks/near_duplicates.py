"""How well the near-duplicate rule of the leak check works, on altered copies of real crops.

    python benchmarks/near_duplicates.py --data FOLDER [--copies 2000] [--sheet others.png]

FOLDER holds sources of crops (LMDBs, lists, folders), at any depth. All their crops are the pool. Some of them are
altered and looked up in it: recall is the share of copies that are found, precision the share of what is found that is
the copied crop. What else is found is drawn on the sheet: the same sign photographed twice is no mistake of the rule.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lmim_kedro.crops.checks.leaks import draw_leaks
from lmim_kedro.crops.checks.near_hashes import near_pairs
from lmim_kedro.crops.checks.same_picture import correlations
from lmim_kedro.crops.perceptual import hashes_as_numbers
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.validate import decode_checked, quiet_decoders
from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams

Alteration = Callable[[np.ndarray], bytes]


def main() -> None:
    """Print a row per alteration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sources of crops")
    parser.add_argument("--copies", type=int, default=2000, help="crops that are altered and looked up")
    parser.add_argument("--sheet", type=Path, help="PNG of what was found and is not the copied crop")
    chosen = parser.parse_args()
    rule = IngestParams()
    with quiet_decoders():
        pool = read_pool(chosen.data)
        rng = np.random.default_rng(0)
        picked = np.sort(rng.choice(len(pool.data), min(chosen.copies, len(pool.data)), replace=False))
        rows, others = [], []
        for name, alter in ALTERATIONS.items():
            row, other = measure(pool, picked, alter, rule)
            rows.append({"alteration": name} | row)
            others.append(other)
    print(f"{len(pool.data):,} crops, {len(picked):,} of them altered; near_distance {rule.near_distance}, ", end="")
    print(f"near_correlation {rule.near_correlation}")
    print(pd.DataFrame(rows).to_string(index=False))
    found = pd.concat(others).drop_duplicates(["store_index", "benchmark_index"])
    print(f"{len(found)} distinct pairs of different crops were found")
    if chosen.sheet:
        cv2.imwrite(str(chosen.sheet), draw_leaks(found, pool, pool, 80)[..., ::-1])


@dataclass(frozen=True)
class Pool:
    """Crops in memory, as a store gives them.

    Attributes:
        keys: source and key of each.
        data: encoded.
        pixels: BGR.
        hashes: (N,) uint64, perceptual.
    """

    keys: list[tuple[str, str]]
    data: list[bytes]
    pixels: list[np.ndarray]
    hashes: np.ndarray

    def fetch(self, indices: Sequence[int] | np.ndarray) -> list[bytes]:
        """Encoded crops."""
        return [self.data[index] for index in indices]


def make_pool(crops: list[tuple[tuple[str, str], bytes]]) -> Pool:
    """Decode and hash crops; those that ingest would set aside are left out."""
    good = [(key, data, decode_checked(data, IngestParams().max_pixels)) for key, data in crops]
    good = [each for each in good if each[2].pixels is not None]
    hashes = hashes_as_numbers([str(decoded.facts.perceptual_hash) for _, _, decoded in good])
    pixels = [decoded.pixels for _, _, decoded in good if decoded.pixels is not None]
    return Pool([key for key, _, _ in good], [data for _, data, _ in good], pixels, hashes)


def read_pool(folder: Path) -> Pool:
    """Read every source below a folder; crops with the same bytes count once."""
    crops: dict[bytes, tuple[str, str]] = {}
    for place in sorted(path for path in folder.rglob("*") if path.is_dir()):
        try:
            source = open_source(place.name, {"path": place})
        except InputError:
            continue
        for crop in source.read(0, len(source)):
            if crop.data:
                crops.setdefault(crop.data, (place.name, crop.key))
    return make_pool([(key, data) for data, key in crops.items()])


def measure(
    pool: Pool, picked: np.ndarray, alter: Alteration, rule: IngestParams
) -> tuple[dict[str, object], pd.DataFrame]:
    """Look altered copies of the crops `picked` up in the pool."""
    copies = make_pool([(pool.keys[index], alter(pool.pixels[index])) for index in picked])
    left, right, distance = near_pairs(pool.hashes, copies.hashes, rule.near_distance)
    correlation = correlations(pool, left, copies, right)
    near = correlation >= rule.near_correlation
    own = picked[right] == left
    recall, hits, others = (own & near).sum() / len(picked), (own & near).sum(), (~own & near).sum()
    row = {
        "hash_recall": round(own.sum() / len(picked), 3),
        "recall": round(recall, 3),
        "precision": round(hits / max(1, hits + others), 4),
        "others": int(others),
    }
    wrong = np.flatnonzero(near & ~own)
    found = {
        "source": [pool.keys[index][0] for index in left[wrong]],
        "key": [pool.keys[index][1] for index in left[wrong]],
        "store_index": left[wrong],
        "benchmark": [pool.keys[index][0] for index in picked[right[wrong]]],
        "benchmark_key": [pool.keys[index][1] for index in picked[right[wrong]]],
        "benchmark_index": picked[right[wrong]],
        "match": "near",
        "distance": distance[wrong],
        "correlation": correlation[wrong],
    }
    return row, pd.DataFrame(found)


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """Encode with OpenCV's defaults, colors at half resolution."""
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def png(pixels: np.ndarray) -> bytes:
    """Encode without loss."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def scaled(pixels: np.ndarray, height: int) -> np.ndarray:
    """Scale to a height, in proportion."""
    width = max(1, round(pixels.shape[1] * height / pixels.shape[0]))
    how = cv2.INTER_AREA if height < pixels.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(pixels, (width, height), interpolation=how)


def lit(pixels: np.ndarray, contrast: float, brightness: float) -> np.ndarray:
    """Change contrast about mid-gray, then brightness in gray levels; what leaves 0 to 255 is clipped."""
    return np.clip((pixels - 128.0) * contrast + 128 + brightness, 0, 255).astype(np.uint8)


def trimmed(pixels: np.ndarray, border: int) -> np.ndarray:
    """Cut pixels off each side, where at least 8 stay."""
    if min(pixels.shape[:2]) < 8 + 2 * border:
        return pixels
    return pixels[border:-border, border:-border]


ALTERATIONS: dict[str, Alteration] = {
    "JPEG q90": lambda pixels: jpeg(pixels, 90),
    "JPEG q70": lambda pixels: jpeg(pixels, 70),
    "JPEG q50": lambda pixels: jpeg(pixels, 50),
    "JPEG q30": lambda pixels: jpeg(pixels, 30),
    "32 high": lambda pixels: png(scaled(pixels, 32)),
    "32 high, q75": lambda pixels: jpeg(scaled(pixels, 32), 75),
    "64 high, q75": lambda pixels: jpeg(scaled(pixels, 64), 75),
    "brightness +40": lambda pixels: png(lit(pixels, 1, 40)),
    "brightness -40": lambda pixels: png(lit(pixels, 1, -40)),
    "contrast x 1.4": lambda pixels: png(lit(pixels, 1.4, 0)),
    "contrast x 0.6": lambda pixels: png(lit(pixels, 0.6, 0)),
    "1 px cut off": lambda pixels: png(trimmed(pixels, 1)),
    "2 px cut off": lambda pixels: png(trimmed(pixels, 2)),
}

if __name__ == "__main__":
    main()
