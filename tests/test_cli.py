from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kedro.framework.project import configure_project
from kedro.io import DatasetError

from lmim_kedro import cli
from lmim_kedro.commands import run as run_command
from lmim_kedro.errors import InputError

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
        assert run_command.input_error(error) is None


def test_run_takes_every_option_of_kedros_run() -> None:
    from kedro.framework.cli.project import run as kedros_run

    assert [option.name for option in run_command.run.params] == [option.name for option in kedros_run.params]
    assert kedros_run.callback is not run_command.run.callback


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


def test_a_wrong_source_of_predict_is_told_before_torch_is_imported(project: Path) -> None:
    done = run_cli("run", "--pipelines=predict", "--params=predict.source=absent", cwd=project)
    assert done.returncode == 2
    assert "`predict.source`: there is nothing at absent: check the path" in done.stderr
    assert "torch" not in done.stdout.splitlines()[-1]


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
