"""The package without its project: the wheel in another folder, the configuration beside it or in its archive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

pytest.importorskip("setuptools", reason="builds the wheel with the setuptools that is installed")

CATALOG = """
_sources: &sources
  type: lmim_kedro.datasets.crop_sources.CropSources
  sources: {words: {format: rendered, words: 12, split: finetuning}}
pretraining.sources: *sources
finetuning.sources: *sources
benchmarks.sources: *sources
"""


@pytest.fixture(scope="module")
def packaged(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `kedro package` makes, installed into `site` and unpacked; nothing else of the project."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(project / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(project / name, source)
    quietly = ("--quiet", "--disable-pip-version-check", "--no-deps")
    for command in (
        ["wheel", *quietly, "--no-build-isolation", f"--wheel-dir={folder}", str(source)],
        ["install", *quietly, f"--target={folder / 'site'}", f"--find-links={folder}", "--no-index", "lmim-kedro"],
    ):
        subprocess.run([sys.executable, "-m", "pip", *command], check=True, timeout=120)
    shutil.copytree(project / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    (folder / "conf" / "tiny").mkdir()
    (folder / "conf" / "tiny" / "catalog_ingest.yml").write_text(CATALOG)
    with tarfile.open(folder / "conf.tar.gz", "w:gz") as archive:
        archive.add(folder / "conf", "conf")
    return folder


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`python -m lmim_kedro run` in a folder, with the package of `site`."""
    environment = os.environ | {"PYTHONPATH": str(folder / "site")}
    environment.pop("KEDRO_LOGGING_CONFIG", None)
    command = [sys.executable, "-m", "lmim_kedro", "run", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("options", "beginning"),
    [
        (["--env=tini"], "there is no environment `tini` (did you mean `tiny`?)"),
        (["--env=tini", "--conf-source=conf.tar.gz"], "there is no environment `tini` (did you mean `tiny`?)"),
        (["--params=seeds=1", "--conf-source=conf.tar.gz"], "`seeds` is not a parameter (did you mean `seed`?)"),
        (["--pipelines=views", "--env=tiny"], '"finetuning.crops" at data/03_primary/tiny/finetuning/crops and'),
    ],
)
def test_a_mistake_in_a_packaged_run_is_one_sentence(packaged: Path, options: list[str], beginning: str) -> None:
    done = run(packaged, *options)
    assert done.returncode == 2
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) == 1 and lines[0].startswith(beginning), lines
    assert "kedro run" not in lines[0] or "`lmim-kedro run --env=tiny --pipelines=ingest`" in lines[0]


def test_a_folder_without_configuration_is_one_sentence(packaged: Path, tmp_path: Path) -> None:
    shutil.copytree(packaged / "site" / "lmim_kedro", tmp_path / "site" / "lmim_kedro")
    done = run(tmp_path)
    assert done.returncode == 2 and (done.stdout + done.stderr).startswith("there is no configuration at ")
    assert (done.stdout + done.stderr).count("\n") == 1


def test_a_packaged_run_makes_what_a_run_of_the_project_makes(packaged: Path) -> None:
    done = run(packaged, "--env=tiny", "--pipelines=ingest", "--params=ingest.workers=1", "--conf-source=conf.tar.gz")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (packaged / "data/03_primary/tiny/data_card.csv").is_file()
    assert "step 1/" in done.stdout and "INFO" not in done.stdout


def test_the_package_logs_as_the_project_does(project: Path) -> None:
    files = [project / "conf" / "logging.yml", project / "src" / "lmim_kedro" / "logging.yml"]
    first, second = (file.read_text("utf-8").partition("version:")[2] for file in files)
    assert first == second != ""
