"""The pages of the documentation, their blocks of code and the commands in them."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from lmim_kedro import registries

ROOT = Path(__file__).parents[1]
CHINESE = ROOT / "README.zh.md"
DOCS = [ROOT / "README.md", CHINESE, *sorted((ROOT / "docs").glob("*.md"))]

TABLES = {value.table: value for value in vars(registries).values() if isinstance(value, registries.Registry)}

each_page = pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)

NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
"""The line before a block of commands that no test can run, with the reason."""


class Block(NamedTuple):
    """A fenced block: its language, its text, and why it is not run, where the line before it says so."""

    language: str
    text: str
    not_run: str | None


@cache
def text_of(page: Path) -> str:
    """A page as it is written, lines that end in a backslash joined."""
    return re.sub(r"\s*\\\n\s*", " ", page.read_text("utf-8"))


@cache
def blocks(page: Path, language: str) -> list[Block]:
    """The fenced blocks of a language, in their order."""
    found, lines = [], iter(["", *page.read_text("utf-8").splitlines()])
    before = ""
    for line in lines:
        if fence := re.fullmatch(r"( *)```(\w+)", line):
            inside = []
            for each in lines:
                if each == f"{fence[1]}```":
                    break
                inside.append(each.removeprefix(fence[1]))
            why = NOT_RUN.fullmatch(before.strip())
            found.append(Block(fence[2], "\n".join(inside) + "\n", why[1] if why else None))
        before = line
    return [block for block in found if block.language == language]


def commands(page: Path) -> list[str]:
    """The lines of a page's blocks of commands that are to be run."""
    shown = [block.text for block in blocks(page, "sh") if block.not_run is None]
    return [line for text in shown for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines() if line]


def calls(line: str) -> list[list[str]]:
    """The programs that a line calls, each as its words; files that it is redirected to are left out."""
    words = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    words.whitespace_split = True
    found: list[list[str]] = [[]]
    redirected = False
    for word in words:
        if word in ("|", "&&", "||", ";"):
            found.append([])
        elif word in (">", ">>", "<"):
            redirected = True
        elif redirected:
            redirected = False
        else:
            found[-1].append(word)
    return [call for call in found if call]


@cache
def programs(page: Path) -> list[list[str]]:
    """Every command of a page, in code spans and blocks, as its words."""
    text = text_of(page)
    code = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text) + re.findall(r"^(?: {4,}|\$ )(.*)$", text, re.M)
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S):
        code += block.splitlines()
    found = []
    for line in code:
        for part in re.split(r"&&|[|;()<>]| # ", line):
            try:
                words = shlex.split(part)
            except ValueError:
                continue
            words = words[1:] if words[:1] in (["time"], ["exec"], ["srun"]) else words
            if words and (name := words[0].rpartition("/")[2]) in ("lmim-kedro", "kedro", "make", "python", "dvc"):
                found.append([name, *words[1:]])
    return found


def run_examples(page: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Run the blocks of ```python in their order, in a module of their own and a folder that is given.

    What they register is forgotten when `monkeypatch` ends. Blocks of ```py are only shown.
    """
    for registry in TABLES.values():
        registry._find()
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.chdir(folder)
    module = type(sys)("my_package")
    monkeypatch.setitem(sys.modules, "my_package", module)
    for block in blocks(page, "python"):
        exec(compile(ast.parse(block.text), page.name, "exec"), vars(module))


def run(lines: list[str], place: Path, allowed: dict[str, set[int]] | None = None) -> None:
    """Run commands as a user does, one after the other, in a folder.

    Args:
        lines: what to run.
        place: the folder.
        allowed: statuses that are right beside 0, by the beginning of a command.
    """
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for line in lines:
        given = os.environ | {"PATH": paths, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(["bash", "-c", line], cwd=place, env=given, capture_output=True, text=True)
        right = {0}.union(*(own for begin, own in (allowed or {}).items() if line.startswith(begin)))
        said = f"{line}\n{done.stdout}\n{done.stderr}"
        assert done.returncode in right and "Traceback" not in done.stderr, said
        print(said)


def checkout(place: Path) -> Path:
    """Copy what a clone has and a run needs into an empty folder."""
    for folder in ("conf", ".dvc"):
        shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    shutil.copytree(ROOT / "src", place / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file in ("pyproject.toml", "dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / file, place)
    (place / "data/01_raw").mkdir(parents=True)
    return place
