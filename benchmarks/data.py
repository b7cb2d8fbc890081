"""Crops and view operations to measure with."""

from __future__ import annotations

import io
import random
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.params import IngestParams, JitterParams, ViewPreset

CROPS = 4096
MEDIUM = ViewPreset(
    contrast=(0.5, 1.0),
    blur=(0.5, 1.5),
    crop_vertical=0.1,
    crop_horizontal=0.02,
    sharpen=((0, 0.5), (0, 0.5)),
    rotate=15,
    piecewise_affine=(0.03, 0.05),
    perspective=(0.02, 0.06),
    solarize=(32, 128),
    grayscale_blend=(0, 1),
    jitter=JitterParams(),
    grayscale_probability=0.2,
)


@cache
def store(store_size: tuple[int, int] | None = None) -> PackedStore:
    """Rendered words, labeled, JPEG, packed into a folder that goes with the process; uncompressed with a size."""
    folder = tempfile.TemporaryDirectory(prefix="lmim-bench-")
    words = open_source("words", {"format": "rendered", "words": CROPS, "seed": 0, "split": "finetuning"})
    params = IngestParams(shard_crops=CROPS // 4, store_size=store_size)
    made = prepare([words], params, Path(folder.name), need_labels=True)
    made.folder = folder  # type: ignore[attr-defined]  # removed when the store is
    return made


def pil_decode(data: bytes, height: int = 32, width: int = 128) -> np.ndarray:
    """The plain way: PIL decodes and resizes bicubic, (height, width, 3) uint8."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC))


def pil_view(image: Image.Image, draw: random.Random) -> Image.Image:
    """The plain way: three or more of the medium operations, one crop and one operation at a time, on PIL."""
    width, height = image.size

    def contrast(image: Image.Image) -> Image.Image:
        return ImageEnhance.Contrast(image).enhance(draw.uniform(0.5, 1.0))

    def blur(image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(draw.uniform(0.5, 1.5)))

    def crop(image: Image.Image) -> Image.Image:
        left, right = (draw.uniform(0, 0.02) * width for _ in range(2))
        top, bottom = (draw.uniform(0, 0.1) * height for _ in range(2))
        return image.resize((width, height), Image.Resampling.BILINEAR, (left, top, width - right, height - bottom))

    def sharpen(image: Image.Image) -> Image.Image:
        return ImageEnhance.Sharpness(image).enhance(1 + draw.uniform(0, 2))

    def rotate(image: Image.Image) -> Image.Image:
        turned = image.rotate(draw.uniform(-15, 15), Image.Resampling.BILINEAR, expand=True)
        return turned.resize((width, height), Image.Resampling.BILINEAR)

    def perspective(image: Image.Image) -> Image.Image:
        change = [draw.gauss(0, 0.04) for _ in range(6)]
        ones = (1 + change[0], change[1], change[2] * width, change[3] * 0.2, 1 + change[4], change[5] * height)
        return image.transform(
            (width, height), Image.Transform.PERSPECTIVE, (*ones, 1e-4, 1e-4), Image.Resampling.BILINEAR
        )

    def piecewise(image: Image.Image) -> Image.Image:
        pieces = []
        for column in range(4):
            left, right = column * width // 4, (column + 1) * width // 4
            corners = [(left, 0), (left, height), (right, height), (right, 0)]
            moved = [value + draw.gauss(0, 1.3) for corner in corners for value in corner]
            pieces.append(((left, 0, right, height), moved))
        return image.transform((width, height), Image.Transform.MESH, pieces, Image.Resampling.BILINEAR)

    def solarize(image: Image.Image) -> Image.Image:
        return ImageOps.solarize(image, draw.randint(32, 128))

    def blend(image: Image.Image) -> Image.Image:
        return Image.blend(image, image.convert("L").convert("RGB"), draw.random())

    operations = [contrast, blur, crop, sharpen, rotate, perspective, piecewise, solarize, blend]
    for operation in draw.sample(operations, draw.randint(3, len(operations))):
        image = operation(image)
    if draw.random() < 0.8:
        for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = kind(image).enhance(draw.uniform(0.6, 1.4))
        bands = image.convert("HSV").split()
        shift = draw.randint(-25, 25)
        image = Image.merge("HSV", (bands[0].point(lambda hue: (hue + shift) % 256), *bands[1:])).convert("RGB")
    return image.convert("L").convert("RGB") if draw.random() < 0.2 else image
