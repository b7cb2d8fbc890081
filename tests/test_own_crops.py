"""docs/own-crops.md, command by command: a folder as people have them becomes a validated recognizer."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from tests.documentation import ROOT, checkout, commands, run

from lmim_kedro.crops.pixels import decode
from lmim_kedro.crops.sources.rendered import RenderedWords

PLATES, WITHOUT_LABELS = 120, 20
QUICK = (
    "training.threads=1,training.device=cpu,finetuning.optimization.steps=60,finetuning.validation.every=20,"
    "selftrain.min_confidence=0.0"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a folder of plates, a quoted CSV, and what else lies in such folders."""
    place = checkout(tmp_path_factory.mktemp("checkout"))
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


def with_quick_parameters(command: str) -> str:
    """The command, with parameters that make it quick before its own."""
    if not command.startswith("kedro run"):
        return command
    command, _, own = command.partition(" --params=")
    given = QUICK + (f",{own}" if own else "")
    return command.replace("--env=own", f"--env=own --params={given}")


def test_the_page_leads_from_a_folder_to_a_reader(place: Path) -> None:
    found = commands(ROOT / "docs/own-crops.md")
    assert len(found) == 12
    quick = [with_quick_parameters(command) for command in found]
    # A folder with an image that cannot be read is read all the same, and the status says so.
    run(quick, place, {"lmim-kedro read": {1}})

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
