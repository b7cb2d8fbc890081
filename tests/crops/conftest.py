"""Drawn words, and stores of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources.open import Source
from lmim_kedro.crops.sources.source import RawCrop
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.params import IngestParams

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def draw_word(seed: int, height: int = 40) -> np.ndarray:
    """A word on a sloping background, (height, w, 3) uint8 BGR; another one for each seed."""
    rng = np.random.default_rng(seed)
    text = "".join(rng.choice(list(LETTERS), rng.integers(4, 8)))
    width = 24 * len(text) + 10
    slope = np.linspace(0, rng.uniform(-60, 60), width)[None, :, None]
    image = np.broadcast_to(rng.uniform(90, 160, 3) + slope, (40, width, 3)).clip(0, 255).astype(np.uint8).copy()
    ink = [0, 0, 0] if rng.random() < 0.5 else [255, 255, 255]
    cv2.putText(image, text, (5, 31), cv2.FONT_HERSHEY_SIMPLEX, 1, ink, 3)
    return cv2.resize(image, (round(width * height / 40), height), interpolation=cv2.INTER_AREA)


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def jpeg(pixels: np.ndarray, quality: int) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


@dataclass(frozen=True)
class Given:
    """A reader of crops that are given."""

    crops: tuple[RawCrop, ...]
    labeled: bool
    format: str = "test"
    description: str = "given crops"
    identity: str = "1"

    def __len__(self) -> int:
        return len(self.crops)

    def read(self, start: int, stop: int) -> Sequence[RawCrop]:
        return self.crops[start:stop]


@pytest.fixture
def words() -> SimpleNamespace:
    """words.draw(seed, height) -> pixels; words.png(pixels), words.jpeg(pixels, quality) -> bytes."""
    return SimpleNamespace(draw=draw_word, png=png, jpeg=jpeg)


MakeStore = Callable[..., PackedStore]


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """make_store("name", source=[encoded crops], labels={source: [...]}, **IngestParams) -> the whole store."""

    def make(name: str, *, labels: dict[str, list[str]] | None = None, params: dict | None = None, **sources: list):
        opened = []
        for source, crops in sources.items():
            texts = labels[source] if labels else [None] * len(crops)
            given = tuple(RawCrop(f"k{n}", data, text) for n, (data, text) in enumerate(zip(crops, texts, strict=True)))
            opened.append(Source(source, Given(given, labels is not None)))
        return prepare(opened, IngestParams(workers=1, **params or {}), tmp_path / name, labels is not None)

    return make
