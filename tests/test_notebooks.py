from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks are run with nbclient: pip install -e '.[test]'")
nbclient = pytest.importorskip("nbclient", reason="notebooks are run with nbclient: pip install -e '.[test]'")

NAMES = ("attention", "new_variant")


def notebook(project: Path, name: str) -> Any:
    return nbformat.read(project / "notebooks" / f"{name}.ipynb", as_version=4)


def code(project: Path, name: str) -> list[Any]:
    return [cell for cell in notebook(project, name).cells if cell.cell_type == "code"]


def test_all_notebooks_are_tested(project: Path) -> None:
    assert {path.stem for path in (project / "notebooks").glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_kept_without_outputs(project: Path, name: str) -> None:
    for cell in code(project, name):
        assert not cell.outputs and cell.execution_count is None


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs_from_its_folder_and_draws(project: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    run = notebook(project, name)
    folder = {"metadata": {"path": str(project / "notebooks")}}
    nbclient.NotebookClient(run, timeout=120, kernel_name="python3", resources=folder).execute()
    outputs = [output for cell in run.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    text = "".join(output.get("text", "") for output in outputs)
    wanted = {"attention": "columns", "new_variant": "did you mean `variants.mask_random_70.pretraining.mask_ratio`"}
    assert wanted[name] in text
