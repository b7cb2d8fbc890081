from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytest
import yaml
from huggingface_hub import ModelCard
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.runner import SequentialRunner
from kedro_datasets.json import JSONDataset
from kedro_datasets.pandas import CSVDataset
from kedro_datasets.text import TextDataset
from PIL import Image

from lmim_kedro.datasets.page import PageDataset
from lmim_kedro.errors import InputError
from lmim_kedro.params import CardParams, EvaluationParams
from lmim_kedro.pipelines.report import create_pipeline, nodes

ANALYZES = ("accuracy_by_length", "accuracy_by_aspect", "accuracy_by_character", "confusions", "calibration")

CARD = {"use": "pretraining", "source": "words", "outside": "", "most_frequent": ""} | dict.fromkeys(
    (
        *("ok", "excluded", "turned", "aspect_5", "aspect_50", "aspect_95", "labels_empty", "labels_too_long"),
        *("labels_outside", "duplicates_exact", "duplicates_near", "leaks_exact", "leaks_near"),
    ),
    1,
)


class BlankCrops:
    def fetch(self, indices: list[int]) -> list[bytes]:
        file = io.BytesIO()
        Image.new("RGB", (60, 20), "teal").save(file, "PNG")
        return [file.getvalue() for _ in indices]


def conf(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in sorted((project / "conf/base").glob("[!c]*.yml")):
        found |= yaml.safe_load(file.read_text("utf-8"))
    return found


def left_behind(project: Path) -> dict[str, Any]:
    """What the other stages leave for the report, of a run without pre-training."""
    base = conf(project)
    untrained = pd.DataFrame(columns=["step", "epoch", "loss", "learning_rate", "crops_per_second", "seconds"])
    summary = pd.DataFrame(
        [["words", 9, 8, 1, "1 truncated"]], columns=["source", "crops", "ok", "set_aside", "reasons"]
    )
    return {
        "recipe": {
            "variant": "scratch",
            "env": "sample",
            "seed": 0,
            "model_name": "vit_small",
            "model": base["models"]["vit_small"],
            "views": base["view_presets"]["medium"],
            "views_name": "medium",
            "pretraining": base["pretraining"] | {"method": "none"},
            "finetuning": base["finetuning"],
        },
        "predictions": pd.DataFrame(
            {"benchmark": "scene", "index": range(8), "label": "word", "prediction": ["word"] * 6 + ["ward"] * 2}
        ),
        "teacher_metrics": untrained,
        "pretraining_metrics": untrained,
        "finetuning_metrics": pd.DataFrame([[50, 1.0, 9.0, 1e-3, 800.0, 12.5]], columns=untrained.columns),
        "benchmarks.crops": BlankCrops(),
        "views.sheet": np.zeros((40, 200, 3), np.uint8),
        "attention": {
            "crops": np.zeros((1, 3, 32, 128), np.uint8),
            "maps": np.ones((1, 2, 1, 32)) / 32,
            "queries": np.array([[[0, 3], [0, 20]]]),
        },
        "reconstructions": {
            "crops": np.zeros((1, 3, 32, 128), np.uint8),
            "masked": np.zeros((1, 3, 32, 128), np.uint8),
            "similarity": np.full((1, 1, 32), 0.5),
        },
        "cls_statistics": {
            "encoder": {
                "crops": 8,
                "width": 384,
                "cls": {"std": 0.035, "effective_rank": 10.4},
                "patches": {"std": 0.4, "effective_rank": 15.9},
            },
            "teacher": None,
        },
        "pretraining.summary": summary,
        "finetuning.summary": summary,
        "benchmarks.summary": summary,
        "data_card": pd.DataFrame(
            [CARD | {"use": "pretraining", "source": "words", "outside": "", "most_frequent": ""}]
        ),
        "run_facts": {"python": "3.11", "parameters": 1000},
        "params:evaluation": EvaluationParams(**base["evaluation"]),
        "params:card": CardParams(**base["card"]),
    }


def test_inputs_of_the_pipeline_are_what_the_other_stages_leave(project: Path) -> None:
    assert create_pipeline().inputs() == set(left_behind(project))


def test_pipeline_writes_scores_tables_card_and_page(project: Path, tmp_path: Path) -> None:
    inputs = {name: MemoryDataset(value) for name, value in left_behind(project).items()}
    outputs = {
        "scores": JSONDataset(filepath=str(tmp_path / "scores.json")),
        "metrics": JSONDataset(filepath=str(tmp_path / "metrics.json")),
        "accuracy_table": CSVDataset(filepath=str(tmp_path / "accuracy.csv"), save_args={"index": False}),
        "accuracy_markdown": TextDataset(filepath=str(tmp_path / "accuracy.md")),
        "scored_model_card": TextDataset(filepath=str(tmp_path / "recognizer/README.md")),
        "report": PageDataset(filepath=str(tmp_path / "deep/report.html")),
        **{name: CSVDataset(filepath=str(tmp_path / f"{name}.csv"), save_args={"index": False}) for name in ANALYZES},
    }
    names = {name for name in yaml.safe_load(catalog_text(project)) if not name.startswith("_")}
    by = {f"accuracy_by_{what}" for what in ("length", "aspect", "character")}
    assert outputs.keys() - {"scored_model_card"} == names - {"accuracy_by_{what}"} | by
    SequentialRunner().run(create_pipeline(), DataCatalog(inputs | outputs))
    assert json.loads((tmp_path / "scores.json").read_text())["accuracy"]["scene"]["waics"] == 0.75
    (result,) = ModelCard.load(tmp_path / "recognizer/README.md").data.eval_results
    assert (result.dataset_name, result.metric_value) == ("scene", 75.0)
    assert json.loads((tmp_path / "metrics.json").read_text())["waics_percent"] == 75.0
    assert pd.read_csv(tmp_path / "accuracy.csv")["waics_percent"].tolist() == [75.0]
    assert "| scene | 8 | 0 | 75.00 |" in re.sub(" +", " ", (tmp_path / "accuracy.md").read_text())
    assert pd.read_csv(tmp_path / "accuracy_by_length.csv")["crops"].tolist() == [8]
    assert pd.read_csv(tmp_path / "confusions.csv")[["label", "prediction", "count"]].to_numpy().tolist() == [
        ["o", "a", 2]
    ]
    assert pd.read_csv(tmp_path / "calibration.csv").empty  # these predictions have no confidence
    page = (tmp_path / "deep/report.html").read_text("utf-8")
    assert page.rstrip().endswith("</html>")
    assert "of [cls] over 8 benchmark crops: encoder 0.035 in 10.4 of 384 directions." in page
    assert "not pre-trained, fine-tuned on 8 labeled crops, seed 0" in page
    assert "how near the predicted features come to the teacher's" in page


def catalog_text(project: Path) -> str:
    return (project / "conf/base/catalog_report.yml").read_text("utf-8")


def test_predictions_of_another_recognizer_than_the_recipes_are_refused(project: Path) -> None:
    inputs = left_behind(project)
    recipe, predictions, evaluation = (inputs[name] for name in ("recipe", "predictions", "params:evaluation"))
    of_one, of_other = "1" * 64, "2" * 64
    assert nodes.score_predictions(predictions, recipe, evaluation)["sha256"] is None  # as of an earlier version
    recipe["sha256"] = of_one
    predictions.attrs["sha256"] = of_one
    assert nodes.score_predictions(predictions, recipe, evaluation)["sha256"] == of_one
    predictions.attrs["sha256"] = of_other
    with pytest.raises(
        InputError, match="^what was read of the benchmarks and .*`kedro run --pipelines=evaluate,report`"
    ):
        nodes.score_predictions(predictions, recipe, evaluation)


@pytest.mark.parametrize(
    ("old", "sentence"),
    [("scores", "^scores.json and the recipe of this run do not"), ("facts", "^run_facts.json and the recipe of this")],
)
def test_page_of_scores_and_facts_of_other_weights_is_refused(old: str, sentence: str) -> None:
    found = {"scores": {"sha256": "1" * 64}, "facts": {"sha256": "1" * 64}} | {old: {"sha256": "2" * 64}}
    others = dict.fromkeys(get_type_hints(nodes.render_page).keys() - {"scores", "facts", "recipe", "tables", "return"})
    with pytest.raises(InputError, match=sentence):
        nodes.render_page(**found, recipe={"sha256": "1" * 64}, **others)


def test_nodes_type_hints_resolve_for_kedro() -> None:
    for name in ("score_predictions", "tabulate", "analyze", "draw_figures", "choose_readings", "render_page"):
        assert "return" in get_type_hints(getattr(nodes, name))


def test_missing_page_names_the_command_that_makes_it(tmp_path: Path) -> None:
    dataset = PageDataset(filepath=str(tmp_path / "report.html"))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="kedro run --pipelines=report"):
        dataset.load()
    dataset.save("<p>é</p>")
    assert dataset.exists() and dataset.load() == "<p>é</p>"
