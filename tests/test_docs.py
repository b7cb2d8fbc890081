"""What the documentation names is there: links, files, modules, commands, pipelines, environments, parameters."""

from __future__ import annotations

import importlib
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from benchmarks.__main__ import all_measurements
from pydantic import BaseModel
from tests.documentation import CHINESE, ROOT, TABLES, each_page, programs, run_examples, text_of

from lmim_kedro.cli import cli
from lmim_kedro.params import Parameters
from lmim_kedro.pipeline_registry import register_pipelines

YOURS = re.compile(r"\b(mine|my_\w+)\b")
"""Names that a reader is to make: conf/mine, my_package."""
NOT_EVERYWHERE = {"views_gpu", "rendering"}
"""Measurements that `python -m benchmarks` lists only where there is a GPU, or trdg."""
READERS_OWN_PARAMETERS = {"variants", "models", "view_presets", "finetuning_presets"}
"""Mappings below which every name is the configuration's."""


@cache
def prose_of(page: Path) -> str:
    """A page without its code blocks and code spans."""
    return re.sub(r"`[^`\n]*`", "``", re.sub(r"^```.*?^```|^ {4}.*?$", "", text_of(page), flags=re.M | re.S))


@cache
def anchors(page: Path) -> frozenset[str]:
    """The names by which GitHub links to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings)


def options(words: list[str], name: str) -> Iterator[str]:
    """The values of an option, written `--name=a,b` or `--name a`."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.startswith(f"--{name}="):
            yield from word.partition("=")[2].split(",")
        elif word == f"--{name}":
            yield from following.split(",")


def fault_of_link(page: Path, target: str) -> str | None:
    """What is wrong with a relative link of a page; None if it leads somewhere."""
    path, _, anchor = target.partition("#")
    place = (page.parent / path).resolve() if path else page
    if not place.exists():
        return f"{target}: there is no such file"
    if anchor and anchor not in anchors(place):
        return f"{target}: {place.name} has no such heading"
    return None


def fault_of_name(name: str) -> str | None:
    """What is wrong with a dotted path; None if it can be imported, or is the group of a registry's entry points."""
    *parents, last = name.split(".")
    if parents == ["lmim_kedro"] and last in TABLES:
        return None
    module: Any = None
    for count in range(len(parents) + 1, 0, -1):
        try:
            module = importlib.import_module(".".join([*parents, last][:count]))
        except ModuleNotFoundError as error:
            if not name.startswith(str(error.name)):
                raise
            continue
        break
    for attribute in [*parents, last][count:]:
        if not hasattr(module, attribute):
            return f"{name}: there is no {attribute}"
        module = getattr(module, attribute)
    return None


def fault_of_parameter(name: str) -> str | None:
    """What is wrong with the name of a parameter, `training.devices`; None if it is in the schema."""
    group: Any = Parameters
    for part in name.split("."):
        if not (isinstance(group, type) and issubclass(group, BaseModel) and part in group.model_fields):
            return f"{name}: there is no parameter {part}"
        if part in READERS_OWN_PARAMETERS:
            return None
        group = group.model_fields[part].annotation
    return None


def fault_of_command(words: list[str]) -> str | None:
    """What is wrong with the verb or the options of `lmim-kedro VERB ...`; None if the command has them."""
    command: click.Command = cli
    verbs = []
    for word in words:
        if not isinstance(command, click.Group) or not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        verbs.append(word)
        found = command.get_command(click.Context(command), word)
        if found is None:
            return f"lmim-kedro {' '.join(verbs)}: there is no such command"
        command = found
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    asked = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help", "--version"}
    return f"lmim-kedro {' '.join(verbs)} has no {', '.join(asked - known)}" if asked - known else None


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", prose_of(page))
    relative = [target for target in targets if "://" not in target]
    assert [fault for target in relative if (fault := fault_of_link(page, target))] == []


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"(?<![\w./>-])((?:src|conf|tests|benchmarks|notebooks|docs)/[\w./*-]*\w)", text_of(page))
    named += [f"src/lmim_kedro/{path}" for path in re.findall(r"(?<![\w./-])(\w+(?:/\w+)*/\w+\.py)\b", text_of(page))]
    missing = [path for path in named if not YOURS.search(path) and not list(ROOT.glob(path))]
    found_elsewhere = {path for path in missing if list(ROOT.glob(path.removeprefix("src/lmim_kedro/")))}
    assert sorted(set(missing) - found_elsewhere) == []


@each_page
def test_what_is_installed_exists(page: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(re.findall(r"'\.\[(\w+)\]'", text_of(page))) <= extras.keys()
    assert [file for file in re.findall(r"install -c (\S+)", text_of(page)) if not (ROOT / file).is_file()] == []
    assert not re.search(r"pip install (-c \S+ )?'?\.[\['\s]", text_of(page)), "install in place, with -e"


@each_page
def test_dotted_paths_can_be_imported(page: Path) -> None:
    names = re.findall(r"(?<![\w./-])(lmim_kedro(?:\.\w+)+(?::\w+)?)", text_of(page))
    for module, imported in re.findall(r"from (lmim_kedro[\w.]*) import ([\w, ]+)", text_of(page)):
        names += [f"{module}.{name.strip()}" for name in imported.split(",")]
    short = re.findall(r"`((?:crops|models|reading|scoring|training|views)\.\w[\w.]*)`", text_of(page))
    names += [f"lmim_kedro.{name}" for name in short if fault_of_parameter(name)]
    theirs = [name.replace(":", ".") for name in names if not YOURS.search(name)]
    assert [fault for name in theirs if (fault := fault_of_name(name))] == []


@each_page
def test_commands_have_their_verbs_and_options(page: Path) -> None:
    ours = [words[1:] for words in programs(page) if words[0] == "lmim-kedro" and words[1:] not in ([], ["VERB"])]
    assert [fault for words in ours if (fault := fault_of_command(words))] == []


@each_page
def test_pipelines_nodes_environments_and_parameters_exist(page: Path) -> None:
    pipelines = register_pipelines()
    nodes = {node.name for pipeline in pipelines.values() for node in pipeline.nodes}
    nodes |= {name.rpartition(".")[2] for name in nodes}
    runs = [words for words in programs(page) if words[:2] in (["kedro", "run"], ["lmim-kedro", "run"])]
    for words in runs:
        assert set(options(words, "pipelines")) <= pipelines.keys()
        assert set(options(words, "nodes")) <= nodes
        for env in options(words, "env"):
            assert re.match(r"[<$]", env) or YOURS.search(env) or (ROOT / "conf" / env).is_dir(), env
        parameters = [item.partition("=")[0] for item in options(words, "params") if "=" in item]
        assert [fault for name in parameters if (fault := fault_of_parameter(name))] == []


@each_page
def test_stages_make_targets_and_measurements_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"].keys()
    for name, *words in programs(page):
        if name == "make":
            assert words[0] in targets
        if name == "dvc" and words[0] == "repro":
            assert {word.partition("@")[0] for word in words[1:] if not word.startswith("-")} <= stages
        if name == "python" and words[:1] == ["-m"]:
            assert fault_of_name(words[1]) is None
            if words[1] == "benchmarks":
                assert set(options(words, "only")) <= all_measurements(None).keys() | NOT_EVERYWHERE


@each_page
def test_examples_run(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run_examples(page, monkeypatch, tmp_path)


def test_architecture_names_every_module_and_package_of_the_project() -> None:
    drawn = set(re.findall(r"^ {2,4}([\w/., ]+?)(?: {2,}|$)", text_of(ROOT / "docs/architecture.md"), re.M))
    names = {name.rstrip("/") for line in drawn for name in line.split(", ")}
    package = ROOT / "src/lmim_kedro"
    there = {path.name for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    there |= {path.parent.name for path in package.glob("crops/*/__init__.py")}
    assert there - names - {"__main__.py"} == set()


def test_extending_shows_every_table_of_the_registries() -> None:
    text = text_of(ROOT / "docs/extending.md")
    assert [table for table in TABLES if f"`lmim_kedro.{table}`" not in text] == []
    assert len(TABLES) == len(re.findall(r"^\w+\.register\(", text, re.M))


def test_the_chinese_page_has_the_same_headings_commands_links_and_numbers() -> None:
    english, chinese = text_of(ROOT / "README.md"), text_of(CHINESE)
    what = {
        "headings": r"^(#+) ",
        "code blocks": r"^ {4}.*$",
        "pictures and links": r"\]\(([^)]*)\)",
        "rows of tables": r"^\|(?=.*\|$)",
        "cells with numbers": r"\| ([\d.]+(?: ms| MB)?) (?=\|)",
    }
    for name, pattern in what.items():
        links = {"README.md", "README.zh.md"}  # each page names the other
        found = ([each for each in re.findall(pattern, text, re.M) if each not in links] for text in (english, chinese))
        ours, theirs = map(sorted, found)
        assert ours == theirs, name
    spans = (set(re.findall(r"`([^`\n]+)`", text)) for text in (english, chinese))
    assert set.symmetric_difference(*spans) == set()
