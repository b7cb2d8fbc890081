"""docs/own-crops.md, command by command: a folder as people have them becomes a validated recognizer."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from lmim_kedro.crops.pixels import decode
from lmim_kedro.crops.sources.rendered import RenderedWords

PLATES, WITHOUT_LABELS = 120, 20
QUICK = (
    "training.threads=1,training.device=cpu,finetuning.optimization.steps=60,finetuning.validation.every=20,"
    "selftrain.min_confidence=0.0"
)


@pytest.fixture(scope="module")
def place(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a folder of plates, a quoted CSV, and what else lies in such folders."""
    place = tmp_path_factory.mktemp("checkout")
    shutil.copytree(project / "conf", place / "conf")
    shutil.copy(project / "pyproject.toml", place)
    shutil.copytree(project / "src", place / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (place / "data/01_raw").mkdir(parents=True)
    photos = place / "photos"
    (photos / "Straße").mkdir(parents=True)
    rows = [("filename", "text")]
    words = RenderedWords(PLATES + WITHOUT_LABELS, 4, "finetuning", vocabulary={"plates": 1.0}, styles={"easy": {}})
    for number, crop in enumerate(words.read(0, PLATES + WITHOUT_LABELS)):
        name = f"Straße/plate {number}.jpg" if number % 2 else f"{number},{number}.png"
        exif = Image.Exif()
        exif[0x0112] = 1
        Image.fromarray(decode(crop.data)).save(photos / name, exif=exif)
        if number >= PLATES:
            continue
        rows.append((name, f'{crop.label}"' if number == 7 else crop.label))
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no image")
    rows.append(("broken.jpg", "AB123"))
    (photos / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with (photos / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    return place


def commands(project: Path) -> list[str]:
    page = (project / "docs/own-crops.md").read_text("utf-8")
    return [line for block in re.findall(r"```sh\n(.*?)```", page, re.S) for line in block.splitlines()]


def test_the_page_leads_from_a_folder_to_a_reader(project: Path, place: Path) -> None:
    found = commands(project)
    assert len(found) == 12
    quick = f"kedro run --env=own --params={QUICK}"
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in found:
        if command.startswith("kedro run"):
            command, _, given_there = command.partition(" --params=")
            command = command.replace("kedro run --env=own", quick + (f",{given_there}" if given_there else ""))
        given = os.environ | {"PATH": paths, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(["bash", "-c", command], cwd=place, env=given, capture_output=True, text=True)
        # A folder with an image that cannot be read is read all the same, and the status says so.
        allowed = {0, 1} if command.startswith("lmim-kedro read") else {0}
        assert done.returncode in allowed and "Traceback" not in done.stderr, f"{command}\n{done.stdout}\n{done.stderr}"
        print(command, done.stdout, done.stderr, sep="\n")

    model = json.loads((place / "data/06_models/lmim/own/seed0/recognizer/config.json").read_text())
    labels = [row["text"] for row in csv.DictReader((place / "photos/labels.csv").open(encoding="utf-8"))]
    assert set(model["charset"]["characters"]) <= {character for label in labels for character in label}
    assert '"' in model["charset"]["characters"]  # the quote that was doubled in the CSV
    scores = json.loads((place / "data/08_reporting/lmim/own/seed0/scores.json").read_text())
    assert scores["metric"] == "exact" and scores["accuracy"]["test"]["n"] == PLATES // 5
    assert scores["beside"]["recognizer"] == "ready"
    report = (place / "data/08_reporting/lmim/own/seed0/report.html").read_text("utf-8")
    assert "ready reader" in report and re.search("held.out", report)
    readings = list(csv.DictReader((place / "readings.csv").open(encoding="utf-8")))
    by_name = {Path(row["key"]).name: row for row in readings}
    assert (
        len(readings) == PLATES + WITHOUT_LABELS + 2
        and by_name["broken.jpg"]["error"]
        and "HEIC" in by_name["phone.heic"]["error"]
    )
    assert all(row["error"] or float(row["confidence"]) >= 0.5 for row in readings)

    facts = json.loads((place / "data/06_models/selftrain/own/seed0/selftrain/facts.json").read_text())
    assert facts["read"] == WITHOUT_LABELS and 0 < facts["kept"] <= WITHOUT_LABELS
    again = json.loads((place / "data/06_models/selftrain/own/seed0/recognizer/config.json").read_text())
    assert again["labels"]["pseudo_labeled"] > 0 and "pseudo_labeled" not in model["labels"]
    report = (place / "data/08_reporting/selftrain/own/seed0/report.html").read_text("utf-8")
    assert "Pseudo-labels" in report
