"""What a small run leaves behind, made up: readings, crops, metrics, summaries, pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image, ImageDraw, ImageFont

from lmim_kedro.reporting.figures import Figures, draw_accuracy_by, draw_calibration, draw_training
from lmim_kedro.reporting.scores import build_scores
from lmim_kedro.reporting.shown_readings import choose_readings
from lmim_kedro.scoring.analysis import accuracy_by_aspect, accuracy_by_length, calibration, confusions

WORDS = [
    "Guide",
    "market",
    "It's",
    "OPEN",
    "<b>&amp;",
    "street",
    "1984",
    "Coffee",
    "naïve",
    "--",
    "harbour",
    "exit",
    "no-one",
    "Library",
]


class DrawnCrops:
    """Crops as a packed store gives them: encoded images by index."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words, self.fetched = list(words), 0

    def fetch(self, indices: Sequence[int]) -> list[bytes]:
        self.fetched += len(indices)
        return [self.draw(self.words[index], index) for index in indices]

    @staticmethod
    def draw(word: str, index: int) -> bytes:
        draw = np.random.default_rng(index)
        image = Image.new("RGB", (30 + 18 * len(word), 40), tuple(int(v) for v in draw.integers(120, 250, 3)))
        ImageDraw.Draw(image).text((10, 4), word, fill=(20, 20, 40), font=ImageFont.load_default(26))
        file = io.BytesIO()
        image.save(file, ("PNG", "JPEG", "WEBP", "TIFF")[index % 4])
        return file.getvalue()


@pytest.fixture
def crops(predictions: pd.DataFrame) -> DrawnCrops:
    return DrawnCrops(predictions["label"])


@pytest.fixture
def predictions() -> pd.DataFrame:
    """90 readings of two benchmarks, a third of them wrong, some labels without letter or digit."""
    labels = [WORDS[place % len(WORDS)] for place in range(90)]
    read = [label[:-1] + "x" if place % 3 == 2 else label.lower() for place, label in enumerate(labels)]
    return pd.DataFrame(
        {
            "benchmark": ["svt"] * 50 + ["rendered"] * 40,
            "key": [f"image-{place + 1:09d}" for place in range(90)],
            "index": range(90),
            "label": labels,
            "prediction": read,
            "confidence": np.random.default_rng(5).random(90),
            "aspect": [0.8 + len(label) / 2 for label in labels],
        }
    )


@pytest.fixture
def recipe(project: Path) -> dict[str, Any]:
    """The paper's recipe, as conf/base has it."""
    conf: dict[str, Any] = {}
    for file in sorted((project / "conf/base").glob("[!c]*.yml")):
        conf |= yaml.safe_load(file.read_text("utf-8"))
    return {
        "variant": "lmim",
        "env": "mini",
        "seed": 3,
        "model_name": "vit_small",
        "model": conf["models"]["vit_small"],
        "views": conf["view_presets"]["medium"],
        "views_name": "medium",
        "pretraining": conf["pretraining"],
        "finetuning": conf["finetuning"],
    }


@pytest.fixture
def facts() -> dict[str, Any]:
    return {"python": "3.11", "torch": "2.13", "commit": None, "gpu": None, "cpu_threads": 2, "parameters": 1_120_000}


@pytest.fixture
def stages() -> dict[str, pd.DataFrame]:
    steps = np.arange(50, 3001, 50)
    common = {
        "step": steps,
        "epoch": steps / 300,
        "learning_rate": 3e-4 * (1 + np.cos(steps / 955)) / 2,
        "crops_per_second": 900.0,
        "seconds": steps / 10,
    }
    reconstruction, alignment = 0.9 * np.exp(-steps / 900) + 0.2, np.exp(-steps / 250)
    pretraining = {"loss": reconstruction + alignment, "reconstruction": reconstruction, "alignment": alignment}
    return {
        "teacher": pd.DataFrame(common | {"loss": np.exp(-steps / 800)}),
        "pre-training": pd.DataFrame(common | pretraining | {"cls_std": 0.6 * np.exp(-steps / 700)}),
        "fine-tuning": pd.DataFrame(common | {"loss": 20 * np.exp(-steps / 600) + 0.1}),
    }


@pytest.fixture
def summaries() -> dict[str, pd.DataFrame]:
    columns = ["source", "crops", "ok", "set_aside", "reasons", "labeled", "median_width", "median_height", "bytes"]
    rows = [
        ["street", 13_337, 13_330, 7, "5 truncated, 2 empty", 0, 49.0, 23.0, 31_000_000],
        ["signs", 521, 521, 0, "", 0, 80.0, 31.5, 1_200_000],
        ["all", 13_858, 13_851, 7, "5 truncated, 2 empty", 0, 50.0, 24.0, 32_200_000],
    ]
    return {
        "Pre-training": pd.DataFrame(rows, columns=columns),
        "Fine-tuning": pd.DataFrame([["words", 6_725, 6_725, 0, None, 6_725, 71.0, 28.0, 9e6]], columns=columns),
        "Benchmarks": pd.DataFrame([["svt", 50, 50, 0, "", 50, np.nan, np.nan, 1e5]], columns=columns),
    }


@pytest.fixture
def pictures() -> dict[str, Any]:
    draw = np.random.default_rng(0)
    crops = draw.integers(0, 255, (2, 3, 32, 128), dtype=np.uint8)
    maps = draw.random((2, 3, 8, 32))
    queries = np.array([[[4, 6], [4, 14], [4, 25]]] * 2)
    return {
        "sheet": draw.integers(0, 255, (200, 600, 3), dtype=np.uint8),
        "attention": {"crops": crops, "maps": maps, "queries": queries},
        "reconstructions": {"crops": crops, "masked": crops // 2, "predicted": 255 - crops},
    }


@pytest.fixture
def card() -> pd.DataFrame:
    """Two sources, one of them of no use, as the table comes back from its file."""
    counts = dict.fromkeys(
        ("turned", "labels_empty", "labels_too_long", "labels_outside", "duplicates_exact", "leaks_exact"), 0
    )
    sizes = {f"{name}_{part}": part + 1.0 for name in ("width", "height", "aspect") for part in (5, 50, 95)}
    rows: list[dict[str, Any]] = [
        {"use": "pretraining", "source": "street", "crops": 1200, "ok": 1100, "set_aside": 80, "excluded": 20}
        | counts
        | {"outside": "é 4, <b> 2", "most_frequent": "e 9", "duplicates_near": 7, "leaks_near": 3}
        | sizes,
        {"use": "benchmarks", "source": "gone", "crops": 5, "ok": 0, "set_aside": 5, "excluded": 0}
        | counts
        | {"outside": None, "most_frequent": None, "duplicates_near": 0, "leaks_near": 0}
        | dict.fromkeys(sizes),
    ]
    return pd.read_csv(io.StringIO(pd.DataFrame(rows).to_csv(index=False)))


@pytest.fixture
def inputs(
    predictions: pd.DataFrame,
    recipe: dict[str, Any],
    facts: dict[str, Any],
    stages: dict[str, pd.DataFrame],
    summaries: dict[str, pd.DataFrame],
    pictures: dict[str, Any],
    crops: Any,
) -> dict[str, Any]:
    return {
        "scores": build_scores(predictions, recipe),
        "recipe": recipe,
        "facts": facts,
        "stages": stages,
        "summaries": summaries,
        "figures": Figures(
            draw_training(*stages.values()),
            draw_accuracy_by("length", accuracy_by_length(predictions, "waics"), "waics"),
            draw_accuracy_by("aspect", accuracy_by_aspect(predictions, "waics"), "waics"),
            draw_calibration(calibration(predictions, "waics"), "waics"),
        ),
        "confusions": confusions(predictions, "waics"),
        "readings": choose_readings(predictions, crops, "waics"),
        **pictures,
    }
