"""Cards of recognizers and packed crops: the metadata that Hugging Face reads, and the text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from huggingface_hub import DatasetCard, ModelCard

from lmim_kedro.config import ConfigLoader
from lmim_kedro.params import CardParams
from lmim_kedro.reporting.cards import data_cards, model_card
from lmim_kedro.settings import CONFIG_LOADER_ARGS

CARD = CardParams(license="apache-2.0", data_license="unknown", languages=("en",))
FACTS = {
    "lmim_kedro": "0.2.0",
    "commit": "abc123+",
    "torch": "2.13.0",
    "gpu": None,
    "processor": "a CPU",
    "date": "now",
}
SOURCES = {"pretraining": [("street", 8000)], "finetuning": [("words|marked", 60000)]}
SCORES: dict[str, Any] = {
    "metric": "waics",
    "labels": "original",
    "looks": 3,
    "accuracy": {"svt": {"n": 647, "waics": 0.76818}, "symbols": {"n": 0, "waics": None}},
    "interval_95": {"svt": [0.736, 0.801], "symbols": [None, None]},
    "notes": [],
}


@pytest.fixture(scope="module")
def recipe(project: Path) -> dict[str, Any]:
    return ConfigLoader(project / "conf", "sample", **CONFIG_LOADER_ARGS)["parameters"]["recipe"]


def test_a_card_with_scores_has_the_metadata_that_the_hub_reads(recipe: dict[str, Any]) -> None:
    card = ModelCard(model_card(recipe, FACTS, SOURCES, CARD, SCORES))
    data = card.data
    assert (data.license, data.pipeline_tag, data.library_name) == ("apache-2.0", "image-to-text", "lmim-kedro")
    assert data.language == ["en"] and data.metrics == ["waics"] and "ocr" in data.tags
    (result,) = data.eval_results
    assert (result.dataset_name, result.metric_value, result.metric_name) == ("svt", 76.82, "WAICS")


def test_a_card_says_scores_data_recipe_commit_license_limits_and_how_to_read(recipe: dict[str, Any]) -> None:
    text = ModelCard(model_card(recipe, FACTS, SOURCES, CARD, SCORES)).text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    assert ["svt", "647", "76.82 %", "73.6 to 80.1"] in rows
    assert ["symbols", "0", "cannot be scored", ""] in rows
    assert ["pretraining", "street", "8,000"] in rows
    assert any(row[:2] == ["Pre-training", "Method"] for row in rows)
    for words in ("words\\|marked", "commit abc123+", "3 looks", "\napache-2.0\n", "## Limits", "english_36", "hf://"):
        assert words in text, words
    assert "lmim-kedro read --recognizer=FOLDER" in text and "not been scored" not in text


def test_a_card_before_the_scores_has_none_and_a_license_that_is_not_stated_is_said(recipe: dict[str, Any]) -> None:
    unstated = CARD.model_copy(update={"license": "unknown"})
    card = ModelCard(model_card(recipe, FACTS, SOURCES, unstated))
    assert card.data.eval_results is None and "metrics" not in card.data.to_dict()
    assert "It has not been scored yet" in card.text and "has set no `card.license`" in card.text


def test_data_cards_count_the_crops_of_their_use() -> None:
    row = {"crops": 12, "ok": 1500, "set_aside": 3, "labeled": 7, "reasons": "2 damaged | 1 empty", "aspect_50": 3.125}
    table = pd.DataFrame(
        [{"use": use, "source": source, **row} for use, source in (("a", "x"), ("b", "y"), ("b", "z"))]
    )
    first, second = (DatasetCard(text) for text in data_cards(table, CARD, ("a", "b")))
    assert first.data.size_categories == second.data.size_categories == ["1K<n<10K"]
    assert first.data.task_categories == ["image-to-text"] and first.data.license == "unknown"
    assert first.text.lstrip().startswith("# Packed word crops: a\n\n1,500 crops of one word, 7 of them with labels")
    assert second.text.lstrip().startswith("# Packed word crops: b\n\n3,000 crops of one word, 14 of them with labels")
    assert "2 damaged \\| 1 empty" in first.text and "3.12" in first.text and "| z" not in first.text
