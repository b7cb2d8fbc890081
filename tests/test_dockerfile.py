"""The Dockerfile, read without a daemon: what it copies is there, and what it runs is the project's."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest


@pytest.fixture
def lines(project: Path) -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, in order."""
    text = re.sub(r"\\\n", " ", (project / "Dockerfile").read_text("utf-8"))
    written = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in written]


def test_what_is_copied_is_in_the_project_and_not_ignored(project: Path, lines: list[tuple[str, str]]) -> None:
    copied = {word for name, rest in lines if name == "COPY" for word in rest.split()[:-1] if not word.startswith("--")}
    ignored = (project / ".dockerignore").read_text("utf-8").splitlines()
    assert copied == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert all((project / source).exists() for source in copied)
    assert ignored.index("*") < min(ignored.index(f"!{source}") for source in copied)
    assert {"conf/local/*", "**/*credentials*"} <= set(ignored[ignored.index("!conf") :])  # secrets stay outside


def test_the_base_is_an_argument_and_the_user_is_not_root(lines: list[tuple[str, str]]) -> None:
    assert lines[0][0] == "ARG" and lines[0][1].startswith("BASE=") and lines[1] == ("FROM", "${BASE}")
    users = [rest for name, rest in lines if name == "USER"]
    assert users == ["lmim"]
    (made,) = [rest for name, rest in lines if name == "RUN" and "useradd" in rest]
    assert "lmim" in made


def test_it_installs_the_tested_versions_and_extras_that_exist_and_runs_the_command(
    project: Path, lines: list[tuple[str, str]]
) -> None:
    facts = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    (install,) = [rest for name, rest in lines if name == "RUN" and "pip install" in rest]
    extras = re.search(r'"\.\[(.*)\]"', install)
    assert "-c constraints.txt" in install and extras is not None
    assert set(extras[1].split(",")) <= facts["optional-dependencies"].keys()
    (entry,) = [json.loads(rest) for name, rest in lines if name == "ENTRYPOINT"]
    assert entry[0] in facts["scripts"]
    version = re.search(r"python:(\d+\.\d+)", lines[0][1])
    assert version and tuple(map(int, version[1].split("."))) >= (3, 11)
