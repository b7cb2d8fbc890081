"""`python -m benchmarks`: what it measures has names, and each measurement a reference from the same run."""

import json

import pytest

from benchmarks import __main__ as bench
from benchmarks import data, measure


def test_all_that_is_measured_has_a_name(capsys, project, monkeypatch):
    monkeypatch.chdir(project)
    assert bench.main(["--list"]) == 0
    names = capsys.readouterr().out.split()
    assert {"decode", "loader", "views_cpu", "pretrain_step_fp32", "pretrain_step_bf16"} <= set(names)
    assert "finetune_step_bf16_conv_tiny" in names


def test_an_unknown_name_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main(["--only", "decoding"])
    assert ended.value.code == 2
    assert "no measurement is called decoding: choose from decode, " in capsys.readouterr().err


def test_measurements_are_written_with_their_reference(tmp_path, monkeypatch, project):
    monkeypatch.chdir(project)
    monkeypatch.setattr(data, "CROPS", 600)
    short = measure.compare
    monkeypatch.setattr("benchmarks.path.compare", lambda *a, **k: short(*a, **k, turns=1, seconds=0.01))
    monkeypatch.setattr("benchmarks.steps.compare", lambda *a, **k: short(*a, **{**k, "turns": 1, "seconds": 0.01}))
    data.store.cache_clear()
    names = ["decode", "loader", "views_cpu", "pretrain_step_bf16_conv_tiny", "finetune_step_fp32_conv_tiny"]
    only = [word for name in names for word in ("--only", name)]
    assert bench.main([*only, "--batch", "8", "--json", str(tmp_path / "bench.json")]) == 0
    rows = json.loads((tmp_path / "bench.json").read_text())
    assert [row["name"] for row in rows] == names
    for row in rows:
        assert row["unit"] == "crops/s" and row["ratio"] == pytest.approx(row["value"] / row["reference"])
    data.store.cache_clear()


def test_a_comparison_measures_both_ways():
    calls = {"ours": 0, "plain": 0}

    def work(name):
        calls[name] += 1

    found = measure.compare("x", lambda: work("ours"), lambda: work("plain"), 10, turns=3, seconds=0.001)
    assert calls["ours"] > 3 and calls["plain"] > 3
    assert found["ratio"] == pytest.approx(found["value"] / found["reference"])
