"""Files that are damaged, of another kind or out of reach end in a sentence that names them."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.io import DatasetError

from lmim_kedro.cli import cli, ending_in_a_sentence
from lmim_kedro.datasets.arrays import ArraysDataset
from lmim_kedro.datasets.images import PngDataset
from lmim_kedro.datasets.manifest import ManifestDataset
from lmim_kedro.datasets.path import JsonFile
from lmim_kedro.datasets.readings import ReadingsDataset
from lmim_kedro.datasets.tables import CsvPlot, CsvTable, ParquetTable
from lmim_kedro.errors import InputError, sentence_of
from lmim_kedro.files import read_json, whole, write_json
from lmim_kedro.models.folder import READY, read_config
from lmim_kedro.pipelines.finetune.nodes import resolve_recipe
from lmim_kedro.reading.about import about_recognizer
from lmim_kedro.reading.onnx_reader import OnnxReader
from lmim_kedro.recipe import saved_recipe
from lmim_kedro.training.jobs import Job
from lmim_kedro.training.state import StateFolder

DAMAGE = {"cut": b'{"a": [1, ', "no utf-8": b'{"a": "\xe9"}', "a list": b"[1]", "empty": b"", "deep": b"[" * 100_000}


@pytest.mark.parametrize("damage", DAMAGE)
def test_json_that_is_damaged_is_told_with_its_file(tmp_path, damage):
    (tmp_path / "a.json").write_bytes(DAMAGE[damage])
    with pytest.raises(InputError, match="a.json (is not JSON|is not a JSON object|is not UTF-8)"):
        read_json(tmp_path / "a.json")
    assert read_json(tmp_path / "absent.json") == {}


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        (JsonFile, "a.json", {}),
        (CsvTable, "a.csv", {}),
        (CsvPlot, "a.csv", {}),
        (ParquetTable, "a.parquet", {}),
        (ArraysDataset, "a.npz", {}),
        (PngDataset, "a.png", {}),
        (ManifestDataset, "a.parquet", {}),
        (ReadingsDataset, "a.csv", {"format": "csv"}),
        (ReadingsDataset, "a.jsonl", {"format": "jsonl"}),
        (ReadingsDataset, "a.parquet", {"format": "parquet"}),
    ],
)
def test_a_dataset_that_is_damaged_is_told_with_its_file(tmp_path, kind, name, options):
    (tmp_path / name).write_bytes(b'"a\x00\xff\n"b,c')
    with pytest.raises(DatasetError) as caught:
        kind(filepath=str(tmp_path / name), **options).load()
    said = str(sentence_of(caught.value))
    assert said.startswith(f"{tmp_path / name} cannot be read (") and said.endswith("make it again"), said


def test_datasets_that_are_whole_are_as_they_were(tmp_path):
    JsonFile(filepath=str(tmp_path / "a.json")).save({"a": [1]})
    assert JsonFile(filepath=str(tmp_path / "a.json")).load() == {"a": [1]}
    with pytest.raises(DatasetError) as caught:
        JsonFile(filepath=str(tmp_path / "absent.json")).load()
    assert sentence_of(caught.value) is None, "Kedro's own sentence says that it is not there"
    arrays = ArraysDataset(filepath=str(tmp_path / "some/a.npz"))
    arrays.save({"a": np.arange(3)})
    assert arrays.load()["a"].tolist() == [0, 1, 2] and len(list((tmp_path / "some").iterdir())) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"charset": {"characters": 5}}, "charset.characters"),
        ({"charset": {"letters": "ab"}}, "charset.characters"),
        ({"max_length": "long"}, "max_length"),
        ({"decoder": None}, "decoder"),
        ({"model": 3}, "model"),
        ({"looks": 2}, "looks"),
        ({"kind": ["recognizer"]}, "kind"),
    ],
)
def test_config_of_a_recognizer_with_another_value_is_told(tmp_path, changes, said):
    write_json(tmp_path / "config.json", read_json(READY / "recognizer/config.json") | changes)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(InputError, match=f"{tmp_path}.*{said}"):
        read_config(tmp_path, "recognizer")


@pytest.mark.parametrize(
    "change", [{"image": {"height": 0, "width": 3}}, {"graphs": {}}, {"graphs": {"x": "y"}}, {"charset": "a"}]
)
def test_config_of_an_exported_recognizer_with_another_value_is_told(tmp_path, change):
    write_json(tmp_path / "config.json", read_json(READY / "onnx/config.json") | change)
    with pytest.raises(
        InputError, match=r"config.json is no config of an exported recognizer \(.*export the recognizer"
    ):
        OnnxReader(tmp_path)


def test_scores_with_other_values_are_told(tmp_path):
    folder = tmp_path / "data/06_models/lmim/mini/seed0/recognizer"
    write_json(folder / "config.json", {"charset": {"characters": "ab"}})
    write_json(tmp_path / "data/08_reporting/lmim/mini/seed0/scores.json", {"metric": "exact", "accuracy": 3})
    with pytest.raises(InputError, match="scores.json of .* is not as this project writes it"):
        about_recognizer(folder)


def test_a_recipe_that_is_none_is_told_where_it_is_used(project):
    found = read_json(READY / "facts.json")["recipe"]
    for damaged in ({}, found | {"seed": "x"}, found | {"model": None}, [1], "recipe"):
        with pytest.raises(InputError, match="the file holds no recipe"):
            saved_recipe(damaged, "the file")
    recipe = saved_recipe(found, "r")
    if recipe.finetuning.start is None:
        with pytest.raises(InputError, match="the recipe.json of the encoder holds no recipe"):
            resolve_recipe(recipe, {"pretraining": 5})


@pytest.mark.parametrize(
    "content", [{"stage": "fine-tuning"}, {"stage": "x", "crops": 3}, {"views": None, "recipe": []}]
)
def test_a_job_with_other_values_is_told(tmp_path, content):
    write_json(tmp_path / "job.json", content)
    with pytest.raises(InputError, match=r"job.json is no training job \(.*start the first machine again"):
        Job.read(tmp_path / "job.json")
    with pytest.raises(InputError, match="there is no training job at"):
        Job.read(tmp_path / "absent.json")


def test_a_state_folder_that_is_empty_missing_or_damaged_is_no_traceback(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        state = StateFolder(tmp_path / name, {"seed": 0})
        assert state.newest_step is None and not state.is_finished and state.finished() is None
        with pytest.raises(InputError, match="holds a run with another recipe|has no checkpoint of step 3"):
            state.load("start", 3)
    (tmp_path / "empty/recipe.json").write_text('{"seed"')
    with pytest.raises(InputError, match="recipe.json is not JSON"):
        StateFolder(tmp_path / "empty", {"seed": 0}).load("start", 3)


def test_what_the_machine_refuses_is_told_by_any_command(tmp_path, capsys):
    table = pd.DataFrame({"benchmark": "x", "key": ["1"], "label": ["a"], "prediction": ["b"]})
    for name in ("a", "b"):
        table.to_parquet(tmp_path / f"{name}.parquet")

    def no_room() -> None:
        raise DatasetError("wrapped") from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "data/a.csv")

    for work in (no_room, lambda: (tmp_path / "a.parquet" / "below").mkdir()):
        try:
            work()
        except (DatasetError, OSError) as error:
            assert "check the rights, the room and the path" in str(sentence_of(error))
    assert sentence_of(OSError(errno.EIO, "worn out")) is None and sentence_of(KeyError("x")) is None

    @ending_in_a_sentence
    def read_only() -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "results/\x1b[2Ja.json")

    with pytest.raises(BaseException) as caught:
        read_only()
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err.startswith(
        r"results/\x1b[2Ja.json cannot be written or read (read-only file system)"
    )
    assert cli.main(["score", str(tmp_path / "a.parquet" / "x.csv")], standalone_mode=False) == 2


def test_a_writer_that_does_not_say_why_is_asked_for(tmp_path):
    """As safetensors and torch, which have errors of their own for a full disk."""
    with pytest.raises(FileNotFoundError) as caught, whole(tmp_path / "a"):
        (tmp_path / "source").read_bytes()
    assert caught.value.filename == str(tmp_path / "source"), "not the file that is written"
    with pytest.raises(RuntimeError, match="some reason"), whole(tmp_path / "a") as part:
        part.write_bytes(b"1")
        raise RuntimeError("some reason")
    with pytest.raises(InputError, match="became full while b was written"), whole(tmp_path / "b") as part:
        part.symlink_to("/dev/full")
        raise RuntimeError("cannot serialize")
    assert not list(tmp_path.iterdir())


def test_configuration_that_is_not_text_is_named_with_its_line(project, tmp_path):
    from lmim_kedro.config import ConfigLoader
    from lmim_kedro.settings import CONFIG_LOADER_ARGS

    for name, content, said in (
        (
            "parameters.yml",
            "seed: 1\nvariant: caf\xe9\n".encode("latin-1"),
            r"parameters.yml is not UTF-8 \(.* in line 2\)",
        ),
        ("parameters.yml", b"seed: [1, 2", "parameters.yml is not YAML|parameters.yml"),
        ("parameters.yml", b"- 1\n- 2\n", "parameters.yml holds no names"),
        ("parameters.yml", b"seed: 1\0\n", "parameters.yml is not YAML"),
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        (folder / "small").mkdir(parents=True)
        (folder / "base").symlink_to(project / "conf/base")
        (folder / "small" / name).write_bytes(content)
        with pytest.raises(InputError, match=said):
            ConfigLoader(folder, "small", **CONFIG_LOADER_ARGS)["parameters"]


def test_json_of_readers_is_read_by_one_function(project: Path):
    """Whoever parses JSON by himself has to say why here."""
    own = {
        "files.py": "the one function",
        "scoring/files.py": "a line of predictions, told with its number",
        "reading/standalone.py": "is copied beside an exported recognizer, without the package",
        "datasets/readings.py": "a cell of a table",
        "crops": "lists of crops, in which no name may stand twice",
    }
    for file in (project / "src/lmim_kedro").rglob("*.py"):
        place = str(file.relative_to(project / "src/lmim_kedro"))
        if "json.loads(" in file.read_text("utf-8") or "json.load(" in file.read_text("utf-8"):
            assert place in own or place.partition("/")[0] in own, place
    assert json.loads("{}") == {}
