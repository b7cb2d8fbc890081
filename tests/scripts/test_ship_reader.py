"""`scripts/ship_reader.py`, with a small recognizer and what a run leaves beside it."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

from lmim_kedro import OnnxReader, Reader
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.files import damaged, read_sums, write_json
from lmim_kedro.models.folder import ready_facts
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.weights import save_model
from lmim_kedro.params import ModelParams
from lmim_kedro.text.charset import Charset

pytest.importorskip("onnxscript", reason="needs the extra `onnx`")
SCRIPT = Path(__file__).parents[2] / "scripts/ship_reader.py"
LICENSES = "group\tpackage\tversion\tlicense\tfiles\tattribution\n"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ship_reader", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path: Path, columns_size: ModelParams) -> Path:
    """The folder of a run's data and configuration."""
    torch.manual_seed(2)
    recognizer = Recognizer(columns_size, Charset.named("english_36"), "ctc").eval()
    torch.nn.init.normal_(recognizer.classifier.weight, std=1.0)
    place = Path("scratch/reader/seed0")
    models = tmp_path / "data/06_models" / place
    save_model(models / "recognizer", recognizer)
    recipe = ready_facts()["recipe"] | {"model": columns_size.model_dump(), "model_name": "small", "seed": 0}
    write_json(models / "recipe.json", recipe | {"variant": "scratch", "env": "reader"})
    accuracy = {"rendered": {"waics": 0.5, "n": 2000}, "svt": {"waics": 0.25, "n": 647}}
    interval = {"rendered": [0.48, 0.52], "svt": [0.2, 0.3]}
    scores: dict[str, Any] = {
        "metric": "waics",
        "labels": "original",
        "looks": 3,
        "language": "english",
        "accuracy": accuracy,
        "interval_95": interval,
    }
    write_json(tmp_path / "data/08_reporting" / place / "scores.json", scores | {"calibration_error": None})
    lengths = "length,crops,accuracy_percent\n1,10,50.0\n4,30,10.0\n6,10,50.0\n≥16,9,0.0\n"
    (tmp_path / "data/08_reporting" / place / "accuracy_by_length.csv").write_text(lengths, "utf-8")
    machine = {"torch": "2.13", "processor": "a fast one", "gpu": None, "commit": "abc", "parameters": 1234}
    write_json(tmp_path / "data/07_model_output" / place / "run_facts.json", machine)
    for part, row in {
        "fonts": "plain\tone\t1\tOFL-1.1\t2\tsomebody",
        "words": "words\tscowl\t7\tSCOWL\t9\tmany",
    }.items():
        folder = tmp_path / "data/01_raw" / part
        folder.mkdir(parents=True)
        (folder / "LICENSES.tsv").write_text(LICENSES + row + "\n")
    sources = {use: {"sources": {"a": {"format": "rendered", "words": 70}}} for use in ("pretraining", "finetuning")}
    write_catalog(tmp_path, sources)
    return tmp_path


def write_catalog(run: Path, sources: dict[str, Any]) -> None:
    path = run / "conf/reader/catalog_ingest.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({f"{use}.sources": entry for use, entry in sources.items()}))


def ship(script: ModuleType, run: Path, *more: str) -> int:
    recognizer = str(run / "data/06_models/scratch/reader/seed0/recognizer")
    places = {"data": run / "data", "conf": run / "conf", "to": run / "ready", "page": run / "page.md"}
    status: int = script.main([recognizer, *(f"--{name}={path}" for name, path in places.items()), *more])
    return status


def test_what_is_shipped_reads_as_the_recognizer_does_and_has_its_card(
    script: ModuleType, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ship(script, run) == 0
    crops = [(None, crop) for crop in RenderedWords(40, 3, "heldout").read(0, 40)]
    ours, theirs = Reader.load(run / "ready/recognizer", "cpu"), OnnxReader(run / "ready/onnx", threads=1)
    texts = [reading.text for reading in ours.read_named(crops)]
    assert texts == [reading.text for reading in theirs.read_named(crops)] and len(set(texts)) > 20
    assert theirs.config["weights"] == "float16"
    assert (run / "ready/recognizer/model.safetensors").stat().st_mode & 0o044 == 0o044  # whoever installs it
    card = (run / "ready/CARD.md").read_text("utf-8")
    assert card == (run / "page.md").read_text("utf-8")
    assert "| svt | 647 | 25.0 % | 20.0 to 30.0 |" in card and "| Parameters | 1,234 |" in card
    assert "| 1 | 10 | 50.0 % |\n| 4 to 6 | 40 | 20.0 % |\n| 13 or more | 9 | 0.0 % |\n" in card
    assert "70 for fine-tuning" in card and "1 families, 1 under OFL-1.1" in card and "lists of scowl 7" in card
    assert "    kedro run --env=reader --params=variant=scratch\n" in card
    assert "How this recognizer was chosen among others, if there were any, is not recorded." in card
    assert "somebody" in (run / "ready/LICENSES.tsv").read_text("utf-8")
    assert "rendered words alike" in capsys.readouterr().out
    for folder, names in (
        ("recognizer", ["config.json", "model.safetensors"]),
        ("onnx", ["config.json", "recognizer.onnx"]),
    ):
        assert list(read_sums(run / "ready" / folder)) == names and not damaged(run / "ready" / folder, *names)
    written = (run / "data/06_models/scratch/reader/seed0/recognizer/model.safetensors").stat().st_mtime
    facts = json.loads((run / "ready/facts.json").read_text("utf-8"))
    assert facts["made"] == f"{datetime.fromtimestamp(written, UTC):%Y-%m-%d}"


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("06_models/scratch/reader/seed0/recipe.json", "the recognizer in .* and the recipe of this run do not belong"),
        ("08_reporting/scratch/reader/seed0/scores.json", "scores.json and the recipe of this run do not belong"),
    ],
)
def test_nothing_is_shipped_with_the_recipe_or_scores_of_other_weights(
    script: ModuleType, run: Path, capsys: pytest.CaptureFixture[str], file: str, sentence: str
) -> None:
    sha256 = read_sums(run / "data/06_models/scratch/reader/seed0/recognizer")["model.safetensors"]
    recipe = run / "data/06_models/scratch/reader/seed0/recipe.json"
    write_json(recipe, json.loads(recipe.read_text("utf-8")) | {"sha256": sha256})
    other = run / "data" / file
    write_json(other, json.loads(other.read_text("utf-8")) | {"sha256": "0" * 64})
    assert ship(script, run) == 2
    assert re.search(sentence, capsys.readouterr().err)


def test_the_card_can_be_written_anew_and_the_command_given(script: ModuleType, run: Path) -> None:
    assert ship(script, run, "--made-by=kedro run --env=reader --params=seed=3", "--note=The best of three.") == 0
    (run / "page.md").unlink()
    assert script.main(["--card", f"--to={run / 'ready'}", f"--page={run / 'page.md'}"]) == 0
    card = (run / "page.md").read_text("utf-8")
    assert "    kedro run --env=reader --params=seed=3\n" in card
    assert "\nThe best of three.\n" in card and "not recorded" not in card


def test_the_card_of_the_package_is_what_its_facts_and_the_template_give(script: ModuleType, tmp_path: Path) -> None:
    config = json.loads((script.READY / "recognizer/config.json").read_text("utf-8"))
    assert script.card(ready_facts(), config) == (script.READY / "CARD.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("remove", "sentence"),
    [
        ("data/08_reporting/scratch/reader/seed0/scores.json", "scores.json: ship a recognizer that `kedro run` left"),
        ("data/01_raw/words/LICENSES.tsv", "whose fonts and words these are: run `make fonts` first"),
    ],
)
def test_nothing_is_shipped_without_scores_or_licenses(
    script: ModuleType, run: Path, remove: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "ready").mkdir()
    (run / "ready/old").touch()
    (run / remove).unlink()
    assert ship(script, run) == 2
    assert sentence in capsys.readouterr().err
    assert (run / "ready/old").exists() and not (run / "page.md").exists()


def test_weights_that_are_too_large_are_not_shipped(
    script: ModuleType, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "LARGEST", 50_000)
    assert ship(script, run) == 2
    assert "and the package holds 0.05 MB at most: ship a smaller model" in capsys.readouterr().err
    assert not (run / "ready").exists()


def test_a_recognizer_of_real_crops_is_not_shipped_as_one_of_rendered_words(
    script: ModuleType, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rendered = {"a": {"format": "rendered", "words": 70}}
    write_catalog(
        run, {"pretraining": {"sources": rendered}, "finetuning": {"sources": rendered | {"b": {"path": "x"}}}}
    )
    assert ship(script, run) == 2
    assert "the environment reader trains on b too: the card promises rendered words alone" in capsys.readouterr().err
