"""What can be added: tables of names, each of which leads to something."""

from __future__ import annotations

import ast
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from lmim_kedro import registries
from lmim_kedro.errors import InputError
from lmim_kedro.registries import Registry

TABLES = [table for table in vars(registries).values() if isinstance(table, Registry)]


def test_every_built_in_entry_leads_to_something() -> None:
    assert len(TABLES) == 7
    for table in TABLES:
        assert len(table) and all(table[name] is not None for name in table), table.table


def test_every_table_is_made_once(project: Path) -> None:
    tree = ast.parse((project / "src/lmim_kedro/registries.py").read_text("utf-8"))
    made = [
        node.targets[0].id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    ]
    assert sorted(made) == sorted(set(made))
    assert len({table.table for table in TABLES}) == len(TABLES)


def test_unknown_name_is_answered_with_the_closest_and_all_that_exist() -> None:
    table = Registry("fruits", "fruit", {"apple": "math:pi", "plum": "math:e"})
    with pytest.raises(InputError, match=r"no fruit 'aple' \(did you mean `apple`\?\): choose one of apple, plum"):
        table["aple"]


def test_taken_name_is_not_replaced() -> None:
    table = Registry("fruits", "fruit", {"apple": "math:pi"})
    with pytest.raises(ValueError, match="there is a fruit called 'apple' already"):
        table.register("apple", 3)


def test_entry_point_of_another_package_adds_a_name_and_replaces_none(monkeypatch: pytest.MonkeyPatch) -> None:
    group = "lmim_kedro.fruits"
    points = [EntryPoint("pear", "math:tau", group), EntryPoint("apple", "math:tau", group)]
    monkeypatch.setattr(registries, "entry_points", lambda group: points if group == "lmim_kedro.fruits" else [])
    table = Registry("fruits", "fruit", {"apple": "math:pi"})
    assert (round(table["pear"], 2), round(table["apple"], 2)) == (6.28, 3.14)
