"""Every command in the documentation is run by a test, or accepted by the program that it calls, or says why neither.

A page of RUN is run line by line by the test that it names. In all other pages each command is *parsed* by the parser
of its own program and goes no further: `lmim-kedro` and `kedro` by click, with the values of `--params` checked as a
run checks them; `dvc` by DVC's parser; scripts and `python -m` by their argparse; `make` and `pip install -e` by
Makefile and pyproject.toml. What is left needs `<!-- not run: why -->` on the line before its block.
"""

from __future__ import annotations

import argparse
import re
import runpy
import sys
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import click
import dvc.cli
import pytest
from dvc.cli.parser import DvcParserError
from kedro_viz.launchers.cli.main import viz_cli
from tests.documentation import DOCS, ROOT, blocks, calls, commands, run_examples

from lmim_kedro.cli import cli
from lmim_kedro.config import ConfigLoader, merge_and_check
from lmim_kedro.errors import InputError
from lmim_kedro.settings import CONFIG_LOADER_ARGS

RUN = {"own-crops.md": "test_own_crops.py", "tutorial.md": "test_tutorial.py"}
"""Pages whose commands a test runs, and that test."""
FILTERS = {"head", "grep", "source", "cd"}
"""Programs of the shell, of which nothing can be wrong here."""
PARSED = [page for page in DOCS if page.parent.name == "docs" and page.name not in RUN]


class Parsed(Exception):
    """Raised when a program has accepted its arguments, so that it does nothing more."""


def fault_of_click(command: click.Command | None, words: list[str]) -> str | None:
    """What a click program says about its arguments; None if it accepts them. Files need not be there."""
    said, rest = " ".join(words), list(words)
    while isinstance(command, click.Group):
        name = rest.pop(0) if rest else ""
        command = command.get_command(click.Context(command), name)
    if command is None:
        return f"{said}: No such command"
    try:
        options = command.make_context(said, rest).params
    except click.UsageError as error:
        return None if "does not exist" in error.message else f"{said}: {error.message}"
    return fault_of_parameters(options) if command.name == "run" and "params" in options else None


@cache
def written(env: str | None) -> dict[str, Any]:
    return ConfigLoader(ROOT / "conf", env, **CONFIG_LOADER_ARGS).all_parameters()


def fault_of_parameters(options: dict[str, Any]) -> str | None:
    """What a run would say about its environment and its parameters."""
    try:
        given = options["params"] or {}
        merge_and_check(written(options.get("env")), given)
    except InputError as error:
        return str(error)
    return None


def fault_of_script(words: list[str], monkeypatch: pytest.MonkeyPatch) -> str | None:
    """What the argparse of a script or a module says about its arguments."""
    parse = argparse.ArgumentParser.parse_args

    def parsed(parser: argparse.ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        parse(parser, args, namespace)
        raise Parsed

    module = words[0] == "-m"
    program: Callable[..., Any] = runpy.run_module if module else runpy.run_path
    name, *rest = words[module:]
    with monkeypatch.context() as changed:
        changed.chdir(ROOT)
        changed.setattr(argparse.ArgumentParser, "parse_args", parsed)
        changed.setattr(sys, "argv", [name, *rest])
        try:
            program(name, run_name="__main__")
        except Parsed:
            return None
        except SystemExit as error:
            return f"python {' '.join(words)}: it ends with {error.code}"
    return f"python {' '.join(words)}: it asked for no arguments"


def fault(words: list[str], monkeypatch: pytest.MonkeyPatch) -> str | None:
    """What is wrong with a call, or that nothing here can tell."""
    name, *rest = words
    if name in FILTERS:
        return None
    if name == "lmim-kedro":
        return fault_of_click(cli, rest)
    if name == "kedro" and rest[:1] == ["run"]:
        return fault_of_click(cli, rest)
    if name == "kedro" and rest[:1] == ["viz"]:
        return fault_of_click(viz_cli, rest)
    if name == "dvc":
        try:
            dvc.cli.parse_args(rest)
        except DvcParserError:
            return f"dvc {' '.join(rest)}: DVC does not accept this"
        return None
    if name == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
        return None if rest[0] in targets else f"make {rest[0]}: there is no such target"
    if name == "python" and rest and (rest[0] == "-m" or (ROOT / rest[0]).is_file()):
        return fault_of_script(rest, monkeypatch)
    if name == "pip" and (found := re.fullmatch(r"install -e \.(?:\[(\w+)\])?", " ".join(rest))):
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
        return None if found[1] is None or found[1] in extras else f"there is no extra {found[1]}"
    return f"{' '.join(words)}: nothing can check this; put <!-- not run: why --> on the line before its block"


@pytest.mark.parametrize("page", PARSED, ids=lambda page: page.name)
def test_commands_are_accepted_or_say_why_they_are_not_run(
    page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_examples(page, monkeypatch, tmp_path)  # commands may name what these register
    found = [call for line in commands(page) for call in calls(line)]
    assert [said for words in found if (said := fault(words, monkeypatch))] == []


def test_pages_that_are_run_have_their_test_and_a_command() -> None:
    for page, test in RUN.items():
        assert page in (ROOT / "tests" / test).read_text("utf-8")
        assert commands(ROOT / "docs" / page)


def test_reasons_stand_before_commands_alone() -> None:
    for page in DOCS:
        marks = page.read_text("utf-8").count("<!-- not run:")
        assert marks == sum(block.not_run is not None for block in blocks(page, "sh")), page.name


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lmim-kedro read --recogniser=newest photos", "No such option"),
        ("lmim-kedro raed photos", "No such command"),
        ("lmim-kedro read --min-confidence=3 photos", "not in the range"),
        ("kedro run --env=mini --params=pretraining.mask_ration=0.7", "mask_ratio"),
        ("kedro run --params=pretraining.mask_ratio=7", "pretraining.mask_ratio"),
        ("kedro run --env=minni", "there is no environment `minni`"),
        ("kedro viz run --envv=mini", "--envv"),
        ("dvc metrics shwo", "DVC does not accept"),
        ("python -m benchmarks --onyl decode", "ends with 2"),
        ("make docz", "no such target"),
        ("pip install -e '.[doc]'", "no extra"),
        ("pip install --no-deps trdg", "nothing can check"),
        ("lmim-kedro read photos | sort", "nothing can check"),
    ],
)
def test_a_wrong_command_is_found(line: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [found for words in calls(line) if (found := fault(words, monkeypatch))]
    assert len(faults) == 1 and said in faults[0], faults
