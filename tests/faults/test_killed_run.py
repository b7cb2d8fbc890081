"""A whole run that is killed at any moment, or finds no room, ends as one that was left alone, when it is given again.

A few kills in the usual run, of a seed that is always the same; `make test-faults` kills many times, anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

SCRIPT = Path(__file__).with_name("tiny_run.py")
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
KILLS = 1 if ROUNDS == 1 else 3
SEED = int(os.environ.get("FAULT_SEED", "0"))
STEPS = {"epochs": None, "steps": 8, "batch_size": 8, "warmup_epochs": None, "warmup_steps": 2}
PARAMETERS = {
    "model": "conv_tiny",
    "models": {
        "conv_tiny": {"width": 16, "heads": 2, "depth": 1, "decoder_width": 16, "decoder_heads": 2, "decoder_ffn": 16}
    },
    "training": {"device": "cpu", "threads": 1, "loader_threads": 1, "log_every": 2, "checkpoint_steps": 3},
    "ingest": {"workers": 2, "shard_crops": 20},
    "views": {"sheet_crops": 2, "sheet_views": 2},
    "pretraining": {"teacher": {"optimization": STEPS}, "optimization": STEPS},
    "finetuning": {"decoder": "ctc", "charset": "english_36", "augmentation": "none", "optimization": STEPS},
    "evaluation": {"attention_crops": 1, "attention_queries": 1, "beside": None},
}
WORDS = {"pretraining": 60, "finetuning": 60, "benchmarks": 30}
TIMED = ("seconds", "crops_per_second", "waiting")
"""Columns of tables that are another number every time."""
OTHER_EVERY_TIME = ("run_facts.json", "README.md", "report.html", ".png")  # they hold dates, or draw durations

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and looks for processes in /proc")


@pytest.fixture(scope="module")
def checkout(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an environment of a few words and steps."""
    place = tmp_path_factory.mktemp("faults") / "checkout"
    shutil.copytree(project / "conf", place / "conf")
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(project / name, place)
    shutil.copytree(project / "src", place / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    tiny = place / "conf/tiny"
    tiny.mkdir()
    (tiny / "parameters.yml").write_text(yaml.safe_dump(PARAMETERS))
    sources = {
        f"{use}.sources": {
            "type": "lmim_kedro.datasets.crop_sources.CropSources",
            "sources": {
                "rendered": {
                    "format": "rendered",
                    "words": count,
                    "seed": seed,
                    "split": "heldout" if use == "benchmarks" else use,
                    "styles": {"easy": {}},
                    "use_labels": use != "pretraining",
                }
            },
            "metadata": {"kedro-viz": {"layer": "01_raw"}},
        }
        for seed, (use, count) in enumerate(WORDS.items())
    }
    (tiny / "catalog_ingest.yml").write_text(yaml.safe_dump(sources))
    return place


def results(folder: Path) -> dict[str, str]:
    """What a run leaves, by file: a digest of what must be the same every time."""
    found = {}
    for path in sorted((folder / "results").rglob("*")):
        if not path.is_file() or path.name.endswith(OTHER_EVERY_TIME):
            continue
        content = path.read_bytes()
        if path.suffix == ".csv":
            table = pd.read_csv(path)
            content = table.drop(columns=[name for name in TIMED if name in table]).to_csv().encode()
        found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def plan(number: int) -> list[dict[str, float]]:
    """What is done to a run: small disks and kills by turns, each kill later than the last, then nothing."""
    chance = random.Random(SEED + number)
    kills = [{"step": step, "delay": chance.random() * 0.5} for step in sorted(chance.random() for _ in range(KILLS))]
    rooms = [{"room": chance.uniform(0, 0.8)} for _ in range(KILLS)]
    return [plan for both in zip(rooms, kills, strict=True) for plan in both] + [{}]


@pytest.fixture(scope="module")
def runs(checkout: Path) -> list[list[dict[str, Any]]]:
    """What came of the attempts: of the run that was left alone, then of each that was not."""
    folders = [checkout.parent / name for name in ("alone", *map(str, range(ROUNDS)))]
    for folder in folders:
        shutil.copytree(checkout, folder)
    given = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    own_disks = ["unshare", "--user", "--mount", "--map-root-user"]
    may = shutil.which("unshare") and subprocess.run([*own_disks, "true"], capture_output=True).returncode == 0
    command = [*(own_disks if may else []), sys.executable, str(SCRIPT), *map(str, folders)]
    plans = json.dumps([plan(number) for number in range(ROUNDS)])
    done = subprocess.run(command, input=plans, env=given, capture_output=True, text=True, timeout=120 + 300 * ROUNDS)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_run_that_is_left_alone_leaves_all_results(checkout, runs):
    assert runs[0][0]["status"] == 0, runs[0][0]["said"]
    there = results(checkout.parent / "alone")
    for name in ("model.safetensors", "predictions.parquet", "scores.json", "accuracy.csv", "data.mdb"):
        assert any(path.endswith(name) for path in there), there.keys()


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_run_that_is_killed_and_finds_no_room_ends_with_the_results_of_one_that_was_not(checkout, runs, number):
    *tried, last = runs[number + 1]
    for planned, one in zip(plan(number)[:-1], tried, strict=True):
        print("fault:", planned, one["status"], one["said"].splitlines()[-1:])
        ends = (
            (2,) if one["full"] else (-9, 0) if "step" in planned else (2, 0)
        )  # 0: it was too fast, or each file fits
        assert one["status"] in ends, one["said"]
        assert "Traceback" not in one["said"], one["said"]
    assert last["status"] == 0, last["said"]
    wanted, there = results(checkout.parent / "alone"), results(checkout.parent / str(number))
    assert there.keys() == wanted.keys()
    assert [name for name in there if there[name] != wanted[name]] == []
