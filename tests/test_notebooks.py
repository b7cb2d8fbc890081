"""The notebooks run, from their folder, with few crops and steps."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks are run with nbclient: pip install -e '.[test]'")
nbclient = pytest.importorskip("nbclient", reason="notebooks are run with nbclient: pip install -e '.[test]'")

SAYS = {
    "crops_and_views": "from left to right: the crop, random, block, span, density",
    "pretraining": "did you mean `variants.mask_random_70.pretraining.mask_ratio`",
    "attention": "of the neighbors show the same word",
    "own_crops": "digits alone: ",
}
"""What each prints, by its name."""
SHORT = {"LMIM_NOTEBOOK_STEPS": "3", "LMIM_NOTEBOOK_BATCH": "8", "LMIM_NOTEBOOK_CROPS": "18"}


def notebook(project: Path, name: str) -> Any:
    return nbformat.read(project / "notebooks" / f"{name}.ipynb", as_version=4)


def code(project: Path, name: str) -> list[Any]:
    return [cell for cell in notebook(project, name).cells if cell.cell_type == "code"]


def test_all_notebooks_are_tested_and_an_extra_opens_them(project: Path) -> None:
    assert {path.stem for path in (project / "notebooks").glob("*.ipynb")} == set(SAYS)
    extras = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert any(each.startswith("jupyterlab") for each in extras["notebooks"])
    for page in ("README.md", "README.zh.md", "docs/index.md"):
        assert "'.[notebooks]'" in (project / page).read_text("utf-8")


@pytest.mark.parametrize("name", SAYS)
def test_notebook_is_kept_without_outputs(project: Path, name: str) -> None:
    for cell in code(project, name):
        assert not cell.outputs and cell.execution_count is None


@pytest.mark.parametrize("name", SAYS)
def test_notebook_runs_from_its_folder_and_draws(project: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    for variable, value in SHORT.items():
        monkeypatch.setenv(variable, value)
    run = notebook(project, name)
    folder = {"metadata": {"path": str(project / "notebooks")}}
    nbclient.NotebookClient(run, timeout=120, kernel_name="python3", resources=folder).execute()
    outputs = [output for cell in run.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert SAYS[name] in "".join(output.get("text", "") for output in outputs)
