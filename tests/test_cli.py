from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kedro.io import DatasetError

from lmim_kedro import cli
from lmim_kedro.errors import InputError

SENTENCE = "data/01_raw/words has no images: put some there"


def run_that(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> Result:
    """`kedro run`, with Kedro's part replaced by one that logs a failure as Kedro does, and raises."""

    def kedros_run(**_: Any) -> str:
        for name in cli.FAILURE_LOGGERS:
            logging.getLogger(name).error("logged by %s", name)
        if error:
            raise error
        return "done"

    monkeypatch.setattr(cli, "_KEDROS_RUN", kedros_run)
    return CliRunner().invoke(cli.run, [])


def wrapped() -> DatasetError:
    try:
        raise DatasetError("Failed while loading data from dataset") from InputError(SENTENCE)
    except DatasetError as error:
        return error


@pytest.mark.parametrize("error", [InputError(SENTENCE), wrapped()], ids=["raised", "wrapped by Kedro"])
def test_input_error_is_one_sentence_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    result = run_that(monkeypatch, error)
    assert result.exit_code == 1
    assert result.output == f"{SENTENCE}\n"
    assert caplog.messages == []


def test_other_errors_keep_their_traceback_and_what_kedro_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    result = run_that(monkeypatch, ZeroDivisionError("a bug"))
    assert isinstance(result.exception, ZeroDivisionError)
    assert caplog.messages == [f"logged by {name}" for name in cli.FAILURE_LOGGERS]


def test_error_that_an_input_error_did_not_cause_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        try:
            raise InputError(SENTENCE)
        except InputError:
            raise ZeroDivisionError("a bug while handling it")  # noqa: B904
    except ZeroDivisionError as error:
        assert cli.input_error(error) is None


def test_run_takes_every_option_of_kedros_run() -> None:
    from kedro.framework.cli.project import run as kedros_run

    assert [option.name for option in cli.run.params] == [option.name for option in kedros_run.params]
    assert kedros_run.callback is not cli.run.callback


@pytest.mark.parametrize(
    ("arguments", "beginning"),
    [
        (["--params=pretraining.mask_rtio=0.5"], "`pretraining.mask_rtio` is not a parameter (did you mean"),
        (["--pipelines=pretrian"], "Failed to find the pipeline named 'pretrian'. Did you mean one of these"),
        (["--nodes=pretrian"], "Pipeline does not contain nodes named ['pretrian']: `kedro registry"),
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
    assert done.returncode == 1
    assert len(lines) == 1 and lines[0].startswith(beginning), lines


def test_module_runs_like_kedro_run(project: Path) -> None:
    command = [sys.executable, "-m", "lmim_kedro", "--params=mask_ratio=0.5"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("`mask_ratio` is not a parameter (did you mean `pretraining.mask_ratio`?)")


@pytest.mark.parametrize("word", [[], ["run"]], ids=["without the word", "with it"])
def test_what_names_no_command_is_a_run(monkeypatch: pytest.MonkeyPatch, word: list[str]) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(cli, "_KEDROS_RUN", lambda **options: given.append(options))
    for options in ([], ["--params=seed=3", "--env=mini"]):
        assert CliRunner().invoke(cli.cli, [*word, *options]).exit_code == 0
    assert [call["env"] for call in given] == [None, "mini"]
    assert given[1]["params"] == {"seed": 3}


def test_help_lists_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = CliRunner().invoke(cli.cli, ["--help"])
    assert shown.exit_code == 0
    for name in ("run", "read", "serve"):
        assert f"\n  {name} " in shown.output


def test_commands_are_listed_without_importing_torch(project: Path) -> None:
    code = "import sys, lmim_kedro.cli; print(sorted({'torch', 'fastapi', 'cv2', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
