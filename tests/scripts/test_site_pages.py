"""The site of the documentation: what is made for it, and what mkdocs makes of all of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tests.documentation import ROOT

from lmim_kedro.cli import COMMANDS
from lmim_kedro.params import Params, RunParams

pytest.importorskip("mkdocs", reason="the site is built with mkdocs: pip install -e '.[docs]'")
pytest.importorskip("material", reason="the site is built with mkdocs: pip install -e '.[docs]'")
pytest.importorskip("mkdocstrings", reason="the site is built with mkdocs: pip install -e '.[docs]'")

NOT_REACHED = """
import socket

def refuse(*_, **__):
    raise OSError("the network was asked")

socket.socket.connect = refuse
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does, by a process that has no network."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(NOT_REACHED)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder / "built")]
    given = {"PYTHONPATH": f"{folder}:{ROOT / 'src'}", "PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "built"


def text_of(page: Path) -> str:
    return re.sub(r"<[^>]+>", "", page.read_text("utf-8"))


def names_in(group: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in group.model_fields.items():
        kind = field.annotation
        inner = isinstance(kind, type) and issubclass(kind, Params)
        found += names_in(kind, f"{prefix}{name}.") if inner else [f"{prefix}{name}"]
    return found


def test_every_command_and_parameter_is_in_the_reference(site: Path) -> None:
    commands = text_of(site / "reference/commands/index.html")
    assert [name for name in COMMANDS if f"Usage: lmim-kedro {name} " not in commands] == []
    parameters = (site / "reference/parameters/index.html").read_text("utf-8")
    missing = [name for name in names_in(RunParams) if f"<code>{name}</code>" not in parameters]
    assert missing == []
    row = re.search(r"<code>pretraining\.mask_ratio</code>.*?</tr>", parameters, re.S)[0]
    assert [each in row for each in ("<code>0.8</code>", "&gt; 0, &lt; 1", "share of patches removed")] == [True] * 3
    assert "<td></td>" not in re.sub(r'<td style="[^"]*">', "<td>", parameters), "a parameter has no meaning"


def test_examples_of_docstrings_are_code_and_public_names_are_there(site: Path) -> None:
    python = (site / "reference/python/index.html").read_text("utf-8")
    assert all(f'id="lmim_kedro.{place}"' in python for place in ("reading.reader.Reader", "crops.ingest.plan.prepare"))
    assert 'id="lmim_kedro.reading.reader.Reader.read"' in python, "what a reader inherits is missing"
    assert "&gt;&gt;&gt;" in python and "Example:" not in text_of(site / "reference/python/index.html")


def test_links_out_of_the_docs_lead_to_pages_of_files(site: Path) -> None:
    data = (site / "data/index.html").read_text("utf-8")
    assert "../source/src/lmim_kedro/crops/rendering/style.py/" in data and "[own-crops.md]" not in data
    assert "mask_block_60" in text_of(site / "source/conf/base/variants.yml/index.html")
    assert "How far does a patch look?" in text_of(site / "source/notebooks/attention.ipynb/index.html")


def test_pages_ask_for_nothing_from_elsewhere(site: Path) -> None:
    """Links may lead anywhere; what a page loads comes with it."""
    loads = re.compile(r'<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)="?(https?:)?//')
    for page in site.rglob("*.html"):
        found = [tag for tag in loads.findall(page.read_text("utf-8"))]
        assert found == [], page
    styles = "".join(file.read_text("utf-8") for file in site.rglob("*.css"))
    assert not re.search(r"url\([\"']?https?://|@import", styles)


def test_the_search_has_the_pages_and_not_the_files(site: Path) -> None:
    index: dict[str, Any] = json.loads((site / "search/search_index.json").read_text("utf-8"))
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"tutorial/", "reference/parameters/", "reference/python/models/"} <= places
    assert not any(place.startswith("source/") for place in places)
