from __future__ import annotations

import json
from pathlib import Path

import pytest
from kedro.io import DatasetError

from lmim_kedro.datasets.runs import RunsDataset


def runs(folder: Path, env: str = "mini", required: bool = False) -> RunsDataset:
    dataset = {"type": "json.JSONDataset"}
    return RunsDataset(path=str(folder), env=env, name="facts.json", dataset=dataset, required=required)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place in ("mim/mini/seed0", "lmim/mini/seed10", "lmim/mini/seed2", "lmim/sample/seed0", "lmim/mini/predict"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "facts.json").write_text(json.dumps(place))
    (tmp_path / "scratch/mini/seed0").mkdir(parents=True)
    return tmp_path


def test_runs_of_one_environment_are_found_in_order_and_opened_when_asked(folder: Path) -> None:
    found = runs(folder).load()
    assert list(found) == [("lmim", 2), ("lmim", 10), ("mim", 0)]
    assert found["lmim", 10]() == "lmim/mini/seed10"
    assert runs(folder).preview()["data"][0][:2] == ["lmim", 2]


def test_no_run_is_an_error_with_the_command_only_where_one_must_be(folder: Path) -> None:
    assert runs(folder, "union14m").load() == {}
    assert runs(folder, "union14m").exists()
    assert not runs(folder, "union14m", required=True).exists()
    with pytest.raises(DatasetError, match="kedro run --env=union14m"):
        runs(folder, "union14m", required=True).load()


def test_runs_are_not_written(folder: Path) -> None:
    with pytest.raises(DatasetError, match="written by each run"):
        runs(folder).save({})
