"""Rendered words: crops a processor second, beside trdg (TextRecognitionDataGenerator), the same words and fonts."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

from benchmarks.measure import Measurement, compare
from lmim_kedro.crops.rendering.fonts import Fonts
from lmim_kedro.crops.sources.rendered import RenderedWords

WORDS = 400
HEIGHT = 32


def measurements() -> dict[str, Callable[[], Measurement]]:
    """By name; none without trdg."""
    return {"rendering": rendering} if find_spec("trdg") else {}


def rendering() -> Measurement:
    """JPEGs a processor second in both styles with the embedded fonts, beside trdg's of the same words."""
    source = RenderedWords(WORDS, seed=3, split="finetuning")
    words = [crop.label or "" for crop in source.read(0, WORDS)]
    fonts = Fonts().files
    return compare(
        "rendering", lambda: list(source.read(0, WORDS)), lambda: by_trdg(words, fonts), WORDS, clock=time.process_time
    ) | {"unit": "crops/processor s"}


def by_trdg(words: Sequence[str], fonts: Sequence[Path]) -> list[bytes]:
    """JPEGs of words by trdg: slanted, blurred, in any gray, on a ground of noise."""
    from trdg.generators import GeneratorFromStrings

    if not hasattr(ImageFont.FreeTypeFont, "getsize"):  # trdg 1.8 calls it, Pillow 10 dropped it
        ImageFont.FreeTypeFont.getsize = lambda font, text: font.getbbox(text)[2:]
    drawn = GeneratorFromStrings(
        list(words),
        count=len(words),
        fonts=[str(file) for file in fonts],
        size=HEIGHT,
        skewing_angle=8,
        random_skew=True,
        blur=1,
        random_blur=True,
        text_color="#000000,#888888",
    )
    found = []
    for picture, _ in drawn:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=75)
        found.append(file.getvalue())
    return found
