"""docs/tutorial.md, command by command, on fewer words and with fewer steps; and what DVC then has to show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from tests.documentation import ROOT, checkout, commands, run

QUICK = "training.threads=1,training.device=cpu,training.log_every=2"
STEPS = {"epochs": None, "steps": 6, "warmup_epochs": None, "warmup_steps": 1, "batch_size": 16}
PAGE = ROOT / "docs/tutorial.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose environment `sample` has few words and takes few steps."""
    place = checkout(tmp_path_factory.mktemp("checkout"))
    file = place / "conf/sample/catalog_ingest.yml"
    file.write_text(re.sub(r"words: \d+", "words: 60", file.read_text("utf-8")), "utf-8")
    file = place / "conf/sample/parameters.yml"
    written = yaml.safe_load(file.read_text("utf-8"))
    for stage in (written["pretraining"], written["pretraining"]["teacher"], written["finetuning"]):
        stage["optimization"] |= STEPS
    written |= {"evaluation": {"beside": None}, "views": {"sheet_crops": 2, "sheet_views": 2}}
    file.write_text(yaml.safe_dump(written), "utf-8")
    return place


def test_the_page_leads_from_the_install_to_a_reader(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = commands(PAGE)
    assert len(found) == 11
    quick = [line.replace("--params=", f"--params={QUICK},") for line in found]
    quick = [f"{line} --params={QUICK}" if line == "kedro run" else line for line in quick]
    run(quick, place)
    said = capfd.readouterr().out
    for path in re.findall(r"data/\w+/[\w./]+/[\w.]+|dvc_plots/index.html", PAGE.read_text("utf-8")):
        assert (place / path).exists(), f"the page names {path}"
    assert "crops: 60, with labels" in said and "characters outside the ready reader's charset: none" in said
    assert (place / "exported/read.py").is_file() and (place / "readings.csv").read_text("utf-8").count("\n") == 61

    metrics = json.loads((place / "data/08_reporting/lmim/sample/seed0/metrics.json").read_text("utf-8"))
    shown = next(line for line in said.splitlines() if line.startswith("data/08_reporting/lmim/sample/seed0/metrics"))
    assert shown.split()[1:3] == [str(metrics["benchmarks"]), str(metrics["crops"])]
    page = (place / "dvc_plots/index.html").read_text("utf-8")
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["plots"]
    assert len(plots) == 6
    for plot in plots:
        ((title, drawing),) = plot.items()
        _, _, drawn = page.partition(f'id = "{title.replace(" ", "_")}"')
        values = json.loads(re.search(r'"data": \{"values": (\[.*?\])\}, "title"', drawn)[1])
        assert values and {drawing["x"], *drawing["y"].values()} <= values[0].keys(), title
