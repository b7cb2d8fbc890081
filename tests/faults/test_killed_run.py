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
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

SCRIPT = Path(__file__).with_name("tiny_run.py")
ROUNDS, KILLS = int(os.environ.get("FAULT_ROUNDS", "1")), 2
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
OTHER_EVERY_TIME = ("run_facts.json", "report.html", ".png")

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


def attempts(checkout: Path, folder: Path, plans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run a copy of the checkout as planned, one attempt after the other."""
    shutil.copytree(checkout, folder, dirs_exist_ok=True)
    given = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    alone = ["unshare", "--user", "--mount", "--map-root-user"]  # where disks of its own may be mounted
    may = shutil.which("unshare") and subprocess.run([*alone, "true"], capture_output=True).returncode == 0
    command = [*(alone if may else []), sys.executable, str(SCRIPT), str(folder)]
    done = subprocess.run(command, input=json.dumps(plans), env=given, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


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


@pytest.fixture(scope="module")
def undisturbed(checkout: Path) -> tuple[dict[str, str], int, int]:
    """Results of a run that was left alone, the number of its steps, and how many bytes they take."""
    (found,) = attempts(checkout, checkout.parent / "alone", [{}])
    assert found["status"] == 0, found["said"]
    steps = int(found["said"].rpartition("step ")[2].split("/")[1].split(":")[0])
    there = results(checkout.parent / "alone")
    for name in ("model.safetensors", "predictions.parquet", "scores.json", "accuracy.csv", "data.mdb"):
        assert any(path.endswith(name) for path in there), there.keys()
    size = sum(path.stat().st_size for path in (checkout.parent / "alone/results").rglob("*") if path.is_file())
    return there, steps, size


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_run_that_is_killed_and_finds_no_room_ends_with_the_results_of_one_that_was_not(
    checkout, undisturbed, tmp_path, number
):
    wanted, steps, size = undisturbed
    chance = random.Random(SEED + number)
    # Later and later, so that there is something to lose each time.
    kills = [
        {"step": step, "delay": chance.random() * 0.5} for step in sorted(chance.sample(range(1, steps + 1), KILLS))
    ]
    rooms = [{"room": room} for room in sorted(chance.randint(size // 20, size) for _ in range(KILLS - 1))]
    plans = [plan for both in zip_longest(kills, rooms) for plan in both if plan]
    *tried, last = attempts(checkout, tmp_path / "run", [*plans, {}])
    print("fault:", [(plan, one["status"]) for plan, one in zip(plans, tried, strict=True)])
    for plan, one in zip(plans, tried, strict=True):
        assert one["status"] in ((-9, 0) if "step" in plan else (2, 0)), (
            plan,
            one["said"],
        )  # 0: it was too fast, or fits
        assert "Traceback" not in one["said"], (plan, one["said"])
    assert last["status"] == 0, last["said"]
    there = results(tmp_path / "run")
    assert there.keys() == wanted.keys()
    assert [name for name in there if there[name] != wanted[name]] == []
