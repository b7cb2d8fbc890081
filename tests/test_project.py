from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from kedro.framework.context import KedroContext
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline
from kedro.validation.type_extractor import TypeExtractor

from lmim_kedro.params import RunParams
from lmim_kedro.pipeline_registry import EXTRAS, STAGES, register_pipelines
from lmim_kedro.pipelines import node_types
from lmim_kedro.pipelines.node_types import Json
from lmim_kedro.recipe import Recipe

LAYERS = {"01_raw", "03_primary", "04_feature", "06_models", "07_model_output", "08_reporting"}
ENVIRONMENTS = ("base", "sample", "mini", "union14m", "chinese")


@pytest.fixture(scope="module")
def pipelines() -> dict[str, Pipeline]:
    return register_pipelines()


@pytest.fixture(params=ENVIRONMENTS)
def context(request: pytest.FixtureRequest, project: Path) -> Iterator[KedroContext]:
    bootstrap_project(project)
    with KedroSession.create(project, env=request.param, save_on_close=False) as session:
        yield session.load_context()


def stored(pipeline: Pipeline) -> set[str]:
    return {name for name in pipeline.datasets() if name != "parameters" and not name.startswith("params:")}


def test_six_stages_and_the_default_of_all_are_registered(pipelines: dict[str, Pipeline]) -> None:
    assert list(pipelines) == ["__default__", "ingest", "views", "pretrain", "finetune", "evaluate", "report", *EXTRAS]
    assert set(pipelines["__default__"].nodes) == {node for stage in STAGES for node in pipelines[stage].nodes}


def test_no_two_stages_make_the_same_dataset(pipelines: dict[str, Pipeline]) -> None:
    made = [name for stage in STAGES for name in pipelines[stage].all_outputs()]
    assert len(made) == len(set(made))


def test_stages_flow_one_way(pipelines: dict[str, Pipeline]) -> None:
    for place, stage in enumerate(STAGES):
        later = {name for after in STAGES[place + 1 :] for name in pipelines[after].all_outputs()}
        assert not later & stored(pipelines[stage])


def test_listing_pipelines_imports_nothing_heavy(project: Path) -> None:
    code = (
        "import sys; from lmim_kedro.pipeline_registry import register_pipelines; register_pipelines();"
        "heavy = {'torch', 'torchvision', 'timm', 'cv2', 'pandas', 'numpy', 'matplotlib', 'lmdb'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project / "src", capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


UNTYPED = {
    "describe_data": {"found"},  # stores and tables together, by name
}
"""Arguments of nodes that may be Any."""


def test_every_node_has_types_that_kedro_can_evaluate(pipelines: dict[str, Pipeline]) -> None:
    functions = {node.func for pipeline in pipelines.values() for node in pipeline.nodes}
    assert len(functions) > 30
    for function in functions:
        hints = get_type_hints(function)  # where this fails, Kedro checks no parameter of the node
        assert hints.keys() == inspect.signature(function).parameters.keys() | {"return"}, function
        untyped = {name for name, hint in hints.items() if hint is Any or Any in get_args(hint) and hint != Json}
        assert untyped <= UNTYPED.get(function.__name__, set()), function


def test_types_of_nodes_are_names_of_classes_that_exist() -> None:
    tree = ast.parse(inspect.getsource(node_types))
    (imports,) = [part.body for part in tree.body if isinstance(part, ast.If)]
    real = {name.name: line.module for line in imports if isinstance(line, ast.ImportFrom) for name in line.names}
    assert real.keys() == set(node_types.__all__)
    for name, module in real.items():
        assert isinstance(getattr(import_module(str(module)), name), type)
        assert getattr(node_types, name).__name__ == name


def test_parameters_of_nodes_are_checked_by_kedro(pipelines: dict[str, Pipeline]) -> None:
    found = TypeExtractor(pipelines).extract_types_from_pipelines()
    groups = {"views", "ingest", "evaluation", "predict", "selftrain", "card", "training"}  # others are in the recipe
    assert found == {name: RunParams.model_fields[name].annotation for name in groups} | {"recipe": Recipe}


def test_every_environment_has_every_dataset_of_every_stage(
    context: KedroContext, pipelines: dict[str, Pipeline]
) -> None:
    config: dict[str, Any] = context.config_loader["catalog"]
    catalog = context.catalog
    missing = {name for name in pipelines["__default__"].inputs() if name not in catalog}
    assert not missing
    for name in config:
        assert catalog.get(name) is not None
    for stage in (*STAGES, *EXTRAS):  # so that each runs alone
        assert all(name in catalog for name in pipelines[stage].inputs()), stage


def test_a_node_writes_where_the_catalog_loads_its_result(context: KedroContext) -> None:
    patterns = context.catalog.config_resolver

    def place(name: str) -> str:
        return str(patterns.resolve_pattern(name)["filepath"])

    for use in ("pretraining", "finetuning", "benchmarks"):
        assert place(f"{use}.crops_folder") == place(f"{use}.packed") == place(f"{use}.crops")
    assert place("views.store_folder") == place("views.store")
    assert place("predict.readings_file") == place("predict.readings")
    assert place("selftrain.labels_file") == place("selftrain.labels")
    assert place("selftrain.crops_folder") == place("selftrain.crops")


def test_every_dataset_has_a_layer_and_an_owner(context: KedroContext, pipelines: dict[str, Pipeline]) -> None:
    used = {name for pipeline in pipelines.values() for name in stored(pipeline)}
    resolver = context.catalog.config_resolver  # the catalog is made anew each time that the context is asked for it
    used |= {pattern for name in used if (pattern := resolver.match_dataset_pattern(name))}
    for name, entry in context.config_loader["catalog"].items():
        assert entry.get("metadata", {}).get("kedro-viz", {}).get("layer") in LAYERS, name
        assert name in used, f"no pipeline uses {name}"


def test_project_is_configured_for_this_kedro_and_sends_nothing(project: Path) -> None:
    facts = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))
    assert facts["tool"]["kedro"]["package_name"] == "lmim_kedro"
    assert (project / ".telemetry").read_text().strip() == "consent: false"
    assert (project / "conf" / "local" / ".gitkeep").is_file()
    assert "Version 2.0, January 2004" in (project / "LICENSE").read_text("utf-8")


def test_torch_has_a_range_and_the_tested_pair_is_among_the_constraints(project: Path) -> None:
    needed = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert {"torch>=2.11,<3", "torchvision>=0.26,<1"} <= set(needed)
    tested = (project / "constraints.txt").read_text("utf-8").splitlines()
    assert {"torch==2.13.0", "torchvision==0.28.0"} <= set(tested)
    names = {re.split("[<>=~\\[]", need)[0].lower() for need in needed}
    assert names <= {line.partition("==")[0].lower() for line in tested}


SENDING = """
import os, sys
{off}
import kedro_telemetry.plugin as plugin, requests
sent = []
requests.post = lambda *arguments, **options: sent.append(arguments)
hook = plugin.KedroTelemetryHook()
hook.before_command_run(None, ["run"])
hook.after_command_run()
print(len(sent))
"""


@pytest.mark.parametrize(("off", "sent"), [("import lmim_kedro", "0"), ("", "1")])
def test_nothing_is_reported_of_a_command_where_there_is_no_file_that_forbids_it(
    tmp_path: Path, off: str, sent: str
) -> None:
    """The second case shows that kedro-telemetry would report."""
    quiet = ("DO_NOT_TRACK", "KEDRO_DISABLE_TELEMETRY", "CI", "GITHUB_ACTION")
    env = {name: value for name, value in os.environ.items() if name not in quiet} | {"HOME": str(tmp_path)}
    code = SENDING.format(off=off)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1:] == [sent], done.stderr


def test_every_dependency_is_named_with_its_license(project: Path) -> None:
    facts = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    lists = [facts["dependencies"], *facts["optional-dependencies"].values()]
    needed = {re.split(r"[<>=~\[]", need)[0].lower().replace("_", "-") for needs in lists for need in needs}
    page = (project / "docs/dependencies.md").read_text("utf-8")
    there = {package.name.lower().replace("_", "-") for package in importlib.metadata.distributions()}
    assert needed & there - {"lmim-kedro"} <= set(re.findall(r"^\| ([\w.-]+) \|", page.partition("## All")[2], re.M))
    spec = importlib.util.spec_from_file_location("list_licenses", project / "scripts/list_licenses.py")
    assert spec is not None and spec.loader is not None
    licenses = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(licenses)
    assert licenses.COPYLEFT.search("GNU General Public License v2") and licenses.COPYLEFT.search("MPL-2.0 AND MIT")
    assert not licenses.COPYLEFT.search("MIT License") and not licenses.COPYLEFT.search("Apache Software License")
    names, marked = licenses.closure("chinese"), page.partition("## Under copyleft")[2].partition("## All")[0]
    assert "zhconv" in names and "torch" in names and "zhconv" not in licenses.closure(None)
    for name, package in names.items():
        assert not licenses.COPYLEFT.search(licenses.license_of(package)) or f"\n| {name} |" in marked, name
