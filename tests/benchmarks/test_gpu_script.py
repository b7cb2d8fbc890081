"""`python benchmarks/gpu.py`: it runs without Kedro and DVC, and a part that fails costs the others nothing."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks import gpu

WITHOUT = """
import runpy, sys
absent = "kedro", "kedro_datasets", "kedro_viz", "dvc", "rapidfuzz", "jinja2", "matplotlib"
sys.modules.update(dict.fromkeys(absent))  # importing one is an error
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_quick_run_checks_and_measures_everything(tmp_path: Path, project: Path) -> None:
    script = tmp_path / "without.py"
    script.write_text(WITHOUT)
    folder = tmp_path / "out"
    command = [sys.executable, str(script), str(project / "benchmarks/gpu.py"), str(folder), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads((folder / "report.json").read_text())
    assert list(found) == list(gpu.PARTS)
    rates = [row for part in found.values() for row in part.get("rates", [])]
    assert {row["name"] for row in rates} == {
        *("views", "reading, fp32 with TF32", "reading, bf16", "end to end, eager"),
        *(f"pre-training, {how}" for how in ("eager", "compiled", "graphs")),
        *(f"fine-tuning, {how}" for how in ("eager", "compiled")),
    }
    assert all(row["ratio"] == pytest.approx(row["crops_per_second"] / row["plain"]) for row in rates)
    assert found["resume"]["values"] == dict.fromkeys(
        ["as it is", "with deterministic algorithms"], {"again": True, "resumed": True}
    )
    losses = found["losses"]["values"]
    assert losses["fp32"] != losses["bf16"] and losses["fp32"] == pytest.approx(losses["bf16"], rel=0.02)
    page = (folder / "report.md").read_text()
    assert "| pre-training, eager | 4 |" in page and "What is missing" not in page
    assert "64 pictures of random pixels (words cannot be rendered: matplotlib is a dependency)" in page
    assert "give their folder as `--golden FOLDER`" in page
    assert not (folder / "store").exists()


def test_a_part_that_fails_or_hangs_costs_the_others_nothing(tmp_path: Path, monkeypatch, capfd) -> None:
    def fine(bench: gpu.Bench) -> None:
        bench.note(facts=f"Part {bench.part}.")

    def broken(bench: gpu.Bench) -> None:
        bench.note(facts="Half of it.")
        raise ValueError("no such kernel")

    def endless(bench: gpu.Bench) -> None:
        bench.note(facts="Begun.")
        subprocess.run(["sleep", "77"])

    parts = {"fine": (fine, 20), "broken": (broken, 20), "endless": (endless, 3), "last": (fine, 20)}
    monkeypatch.setattr(gpu, "PARTS", parts)
    start = time.monotonic()
    assert gpu.main([str(tmp_path / "out"), "--quick"]) == 1
    assert time.monotonic() - start < 40
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [found[name].get("failed") for name in parts] == [
        *(None, "ValueError: no such kernel", "stopped after 3 s", None)
    ]
    assert [found[name]["facts"] for name in parts] == [["Part fine."], ["Half of it."], ["Begun."], ["Part last."]]
    assert "- endless: stopped after 3 s" in (tmp_path / "out" / "report.md").read_text()


def test_what_the_time_does_not_suffice_for_is_named(tmp_path: Path, monkeypatch, capfd) -> None:
    monkeypatch.setattr(gpu, "PARTS", {"fine": (lambda bench: None, 20)})
    assert gpu.main([str(tmp_path / "out"), "--quick", "--seconds", "0.5"]) == 1
    assert "- fine: left out: the time for all parts was over" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["full", "--quick"], "is not empty: name a new folder"),
        (["out", "--quick", "--golden", "absent"], "there is no folder absent"),
        pytest.param(
            ["out"],
            "there is no GPU here: give --quick",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)
def test_a_wrong_call_is_one_sentence(words, told, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    with pytest.raises(SystemExit) as ended:
        gpu.main(words)
    assert ended.value.code == 2 and told in capsys.readouterr().err
