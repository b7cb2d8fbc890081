from __future__ import annotations

import csv
import io
import logging
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kedro.framework.project import configure_project
from kedro.io import DatasetError
from PIL import Image

from lmim_kedro import cli
from lmim_kedro.commands import run as run_command
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.errors import InputError
from lmim_kedro.locks import WAIT
from lmim_kedro.reading.files import write_readings
from lmim_kedro.reading.inspection import inspect_path
from lmim_kedro.reading.onnx_reader import OnnxReader
from lmim_kedro.text.spelling import Reading

SENTENCE = "data/01_raw/words has no images: put some there"


def run_that(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> Result:
    """`kedro run`, with Kedro's part replaced by one that logs a failure as Kedro does, and raises."""

    def kedros_run(**_: Any) -> str:
        for name in run_command.FAILURE_LOGGERS:
            logging.getLogger(name).error("logged by %s", name)
        if error:
            raise error
        return "done"

    monkeypatch.setattr(run_command, "_KEDROS_RUN", kedros_run)
    return CliRunner().invoke(cli.cli, ["run"])


def wrapped() -> DatasetError:
    try:
        raise DatasetError("Failed while loading data from dataset") from InputError(SENTENCE)
    except DatasetError as error:
        return error


@pytest.mark.parametrize("error", [InputError(SENTENCE), wrapped()], ids=["raised", "wrapped by Kedro"])
def test_input_error_is_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    result = run_that(monkeypatch, error)
    assert result.exit_code == 2
    assert result.output == f"{SENTENCE}\n"
    assert caplog.messages == []


def test_other_errors_keep_their_traceback_and_what_kedro_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    result = run_that(monkeypatch, ZeroDivisionError("a bug"))
    assert isinstance(result.exception, ZeroDivisionError)
    assert caplog.messages == [f"logged by {name}" for name in run_command.FAILURE_LOGGERS]


def test_error_that_an_input_error_did_not_cause_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        try:
            raise InputError(SENTENCE)
        except InputError:
            raise ZeroDivisionError("a bug while handling it")  # noqa: B904
    except ZeroDivisionError as error:
        assert run_command.sentence_of(error) is None


def test_run_takes_every_option_of_kedros_run() -> None:
    from kedro.framework.cli.project import run as kedros_run

    assert [option.name for option in run_command.run.params] == [*(each.name for each in kedros_run.params), "wait"]
    assert kedros_run.callback is not run_command.run.callback


@pytest.mark.parametrize(("given", "waits"), [([], False), (["--wait"], True)])
def test_a_run_waits_for_another_one_where_it_is_asked_to(
    monkeypatch: pytest.MonkeyPatch, given: list[str], waits: bool
) -> None:
    found = []
    monkeypatch.setattr(run_command, "_KEDROS_RUN", lambda **options: found.append((WAIT.get(), "wait" in options)))
    assert CliRunner().invoke(cli.cli, ["run", *given]).exit_code == 0
    assert found == [(waits, False)]


@pytest.mark.parametrize(
    ("arguments", "beginning"),
    [
        (["--params=pretraining.mask_rtio=0.5"], "`pretraining.mask_rtio` is not a parameter (did you mean"),
        (["--pipelines=pretrian"], "there is no pipeline `pretrian` (did you mean `pretrain`?): choose ingest, views"),
        (["--pipelines=tables"], "the pipeline `tables` is now called `paper`"),
        (["--nodes=pretrian"], "Pipeline does not contain nodes named ['pretrian']: `kedro registry"),
        (["--nodes=list_crops"], "Pipeline does not contain nodes named ['list_crops']. Did you mean: ['ingest."),
        (["--from-inputs=crop"], "Pipeline does not contain datasets named ['crop']: `kedro registry"),
        (["--params=finetuning.charset=klingon"], "charset 'klingon' is neither a built-in one"),
        (["--params=pretraining.teacher.path=no.pth"], "`pretraining.teacher.path`: there is no checkpoint at no.pth"),
        (["--params=training.device=cuda:99"], "training.device = 'cuda:99' cannot be used here"),
        (["--env=smaple", "--pipeline=pretrain"], "there is no environment `smaple` (did you mean `sample`?)"),
    ],
)
def test_kedro_run_ends_in_the_sentence_alone(project: Path, arguments: list[str], beginning: str) -> None:
    command = [sys.executable, "-m", "kedro", "run", *arguments]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120)
    kedros = ("KedroDeprecationWarning: Option '--pipeline' is deprecated", "warnings.warn(")
    lines = [line for line in (done.stdout + done.stderr).splitlines() if not any(words in line for words in kedros)]
    assert done.returncode == 2
    assert len(lines) == 1 and lines[0].startswith(beginning), lines


@pytest.mark.parametrize("given", ["pretrain.make_teacher", "make_teacher"])
def test_a_name_that_one_node_has_needs_no_namespace(given: str) -> None:
    configure_project("lmim_kedro")
    options = {"pipelines": ("pretrain",), "node_names": [given], "from_nodes": [], "tags": ("gpu",)}
    assert run_command.require_steps(options) == options | {"node_names": ["pretrain.make_teacher"]}


def test_names_within_a_namespace_are_enough() -> None:
    configure_project("lmim_kedro")
    options = {"from_nodes": ["pretraining.pack_crops"], "to_nodes": ["pretrain"]}
    found = run_command.require_steps(options)
    assert found == {"from_nodes": ["ingest.pretraining.pack_crops"], "to_nodes": ["pretrain.pretrain"]}


def test_module_runs_like_kedro_run(project: Path) -> None:
    command = [sys.executable, "-m", "lmim_kedro", "--params=mask_ratio=0.5"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("`mask_ratio` is not a parameter (did you mean `pretraining.mask_ratio`?)")


@pytest.mark.parametrize("word", [[], ["run"]], ids=["without the word", "with it"])
def test_what_names_no_command_is_a_run(monkeypatch: pytest.MonkeyPatch, word: list[str]) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(run_command, "_KEDROS_RUN", lambda **options: given.append(options))
    for options in ([], ["--params=seed=3", "--env=mini"]):
        assert CliRunner().invoke(cli.cli, [*word, *options]).exit_code == 0
    assert [call["env"] for call in given] == [None, "mini"]
    assert given[1]["params"] == {"seed": 3}


def test_help_lists_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = CliRunner().invoke(cli.cli, ["--help"])
    assert shown.exit_code == 0
    for name in cli.COMMANDS:
        assert f"\n  {name} " in shown.output


def test_commands_are_listed_without_importing_torch(project: Path) -> None:
    code = "import sys, lmim_kedro.cli; print(sorted({'torch', 'fastapi', 'cv2', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def run_cli(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`lmim-kedro` in a process of its own; the last line of its output names the heavy modules it imported."""
    code = f"""
import sys
from lmim_kedro.__main__ import main
sys.argv[0] = "lmim-kedro"
try:
    main({[str(word) for word in words]!r})
finally:
    print(sorted({{"torch", "kedro", "pandas", "timm"}} & set(sys.modules)))
"""
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("words", "beginning"),
    [
        (["read", "absent"], "there is nothing at absent"),
        (["read", "."], "source .: . holds no crop"),
        (["inspect", "absent"], "there is nothing at absent"),
        (["inspect", "."], ". holds no crop"),
        (["read", ".", "--layout", "csv"], "source .: . holds no list of crops in the layout csv"),
        (["read", "a.png", "--recognizer", "newest"], "there is no recognizer at data/06_models"),
        (["read", "a.png", "--recognizer", "."], ". holds no config.json"),
        (["serve", "--recognizer", "."], ". holds no config.json"),
        (["convert", "inspect", "absent.pth"], "there is no checkpoint at absent.pth"),
        (["convert", "import", "absent.pth", "ours"], "there is no checkpoint at absent.pth"),
        (["convert", "export", ".", "theirs.pth"], ". holds no config.json"),
        (["verify", "absent"], "there is no folder absent"),
        (["export-onnx", ".", "exported"], ". holds no config.json"),
        (["export-lmdb", "absent", "target"], "source absent: there is nothing at absent"),
        (["score", "absent.csv"], "there is no file absent.csv"),
        (["compare", "absent.csv", "absent.csv"], "there is no file absent.csv"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_and_status_2_before_torch_or_kedro_is_imported(
    tmp_path: Path, words: list[str], beginning: str
) -> None:
    done = run_cli(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(beginning) and done.stderr.count("\n") == 1, done.stderr
    assert not {"torch", "kedro", "timm"} & set(eval(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("command", ["read", "inspect", "export-lmdb"])
def test_a_misspelt_layout_is_answered_with_the_layouts_that_there_are(tmp_path: Path, command: str) -> None:
    done = run_cli(command, ".", *(["target"] if command == "export-lmdb" else []), "--layout", "cvs", cwd=tmp_path)
    assert done.returncode == 2 and "icdar, csv, list, pairs, parquet, webdataset" in " ".join(done.stderr.split())


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Two images, one of them with a tab and a line end in its name, and files that are no images."""
    folder = tmp_path / "crops"
    folder.mkdir()
    for name in ("a.png", "b\t1\n2.png"):
        Image.new("RGB", (90, 30), "white").save(folder / name)
    for name in ("notes.pdf", "take.json"):
        (folder / name).write_text("{}")
    return folder


def test_read_writes_data_alone_on_stdout_and_what_it_passes_over_on_stderr(tmp_path: Path, crops: Path) -> None:
    done = run_cli("read", "--format=csv", "crops", cwd=tmp_path)
    data, _, heavy = done.stdout.rstrip("\n").rpartition("\n")
    rows = list(csv.DictReader(io.StringIO(data)))
    assert done.returncode == 0 and heavy == "['pandas']", done.stderr
    assert [row["key"] for row in rows] == ["crops/a.png", "crops/b\t1\n2.png"]
    assert "passed over: 1 .pdf files, no images (notes.pdf); 1 .json files, no images (take.json)" in done.stderr


def test_text_has_a_line_for_each_crop_whatever_its_name(tmp_path: Path, crops: Path) -> None:
    done = run_cli("read", "crops", cwd=tmp_path)
    lines = done.stdout.splitlines()[:-1]
    assert [line.split("\t")[0] for line in lines] == ["crops/a.png", r"crops/b\t1\n2.png"]
    assert all(len(line.split("\t")) == 3 for line in lines)


def test_readings_are_read_back_as_labels_exactly(tmp_path: Path, crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = {"crops/a.png": 'say "hi", now', "crops/b\t1\n2.png": "x\\y"}
    readings = [Reading(text, 0.5, (0.5,) * len(text), None, key) for key, text in words.items()]
    for kind in ("csv", "jsonl", "parquet"):
        write_readings(readings, tmp_path / f"words.{kind}", kind)
        source = open_source("a", {"path": f"words.{kind}", "min_confidence": 0.5})
        assert {crop.key: crop.label for crop in source.read(0, 2)} == words
        assert all(crop.data and crop.reason is None for crop in source.read(0, 2))


def test_a_photo_is_read_upright_from_a_file_a_folder_a_zip_and_in_memory(tmp_path: Path) -> None:
    word = Image.open(io.BytesIO(RenderedWords(9).render(3)[1])).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "a.png"
    word.transpose(Image.Transpose.ROTATE_90).save(photo, exif=exif)
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as made:
        made.write(photo, "a.png")
    reader = OnnxReader()
    (upright,) = reader.read(word)
    assert upright.text
    for given in (photo, photo.parent, tmp_path / "photos.zip", Image.open(photo)):
        assert [reading.text for reading in reader.read(given)] == [upright.text]


def test_inspect_shows_what_would_be_read_and_imports_neither_torch_nor_kedro(tmp_path: Path, crops: Path) -> None:
    (crops / "words.csv").write_text("filename,text,country\na.png,café,FR\ngone.png,x,DE\n", "utf-8")
    done = run_cli("inspect", "crops", cwd=tmp_path)
    *lines, heavy = done.stdout.splitlines()
    assert done.returncode == 0 and not {"torch", "kedro", "timm"} & set(eval(heavy)), done.stderr
    assert lines == [
        "layout: csv, in words.csv: columns of a file and a label, with commas or semicolons between them",
        "place: crops/words.csv, files below crops",
        "crops: 2, with labels",
        "  a.png  'café'  90 x 30",
        "  gone.png  'x'  missing file",
        "characters outside the ready reader's charset, in all 2 labels: é 1",
        "passed over:",
        "  1 files that are no list of crops: it holds no files with labels (take.json)",
        r"  1 images that words.csv does not list (b\t1\n2.png)",
        "  1 .pdf files, no images (notes.pdf)",
    ]


def test_inspect_of_an_image_a_folder_and_a_named_layout(tmp_path: Path, crops: Path) -> None:
    assert list(inspect_path(crops / "a.png")) == ["image: 90 x 30"]
    lines = list(inspect_path(crops, rows=1))
    assert lines[0] == "layout: folder, images, and no labels that are recognized"
    assert lines[2:4] == ["crops: 2, without labels", "  a.png  90 x 30"] or lines[3].endswith("2.png  90 x 30")
    (crops / "word_1.png").write_bytes((crops / "a.png").read_bytes())
    assert "layout: trdg, as it was named" in list(inspect_path(crops, "trdg"))


def test_inspect_stops_counting_when_its_time_is_over(tmp_path: Path) -> None:
    for number in range(1200):
        (tmp_path / f"{number}.png").touch()
    assert "crops: at least 500, without labels" in list(inspect_path(tmp_path, seconds=0))
    assert "crops: 1,200, without labels" in list(inspect_path(tmp_path, seconds=60))


def test_inspect_does_not_miss_images_on_a_list_that_it_had_no_time_to_read(tmp_path: Path) -> None:
    for number in range(700):
        (tmp_path / f"{number}.png").touch()
    (tmp_path / "gt.txt").write_text("".join(f"{number}.png\tword\n" for number in range(700)))
    lines = list(inspect_path(tmp_path, seconds=0))
    assert "crops: at least 500, with labels" in lines and not any("does not list" in line for line in lines)
    assert any("more crops than were looked at" in line and "gt.txt" in line for line in lines)
    assert list(inspect_path(tmp_path, seconds=60))[-1] == "passed over: nothing"


def test_a_wrong_source_of_predict_is_told_before_torch_is_imported(project: Path) -> None:
    done = run_cli("run", "--pipelines=predict", "--params=predict.source=absent", cwd=project)
    assert done.returncode == 2
    assert "`predict.source`: there is nothing at absent: check the path" in done.stderr
    assert "torch" not in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("words", [["--env=nonsense"], ["--params=seeds=1"], ["--pipelines=pretrian"]])
def test_a_run_that_ends_in_a_sentence_at_once_imports_nothing_heavy(project: Path, words: list[str]) -> None:
    done = run_cli("run", *words, cwd=project)
    assert done.returncode == 2 and done.stdout.splitlines()[-1] == "['kedro']", done.stdout


def test_version_and_help_import_neither_kedro_nor_torch(tmp_path: Path) -> None:
    for word in ("--version", "--help"):
        done = run_cli(word, cwd=tmp_path)
        assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("models.verify", "verify"),
        ("models.convert", "convert"),
        ("models.export_onnx", "export-onnx"),
        ("crops.export", "export-lmdb"),
        ("onnx_runner", "read"),
        ("scoring", "score"),
        ("scoring.compare", "compare"),
    ],
)
def test_old_spellings_go_on_and_name_the_new_one(tmp_path: Path, module: str, command: str) -> None:
    line = [sys.executable, "-m", f"lmim_kedro.{module}", "--help"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Usage:" in done.stdout
    assert f"`python -m lmim_kedro.{module}` is now `lmim-kedro {command}`\n" in done.stderr
