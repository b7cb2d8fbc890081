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
