from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from dvc.repo import Repo
from dvc.stage import PipelineStage
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline

from lmim_kedro.pipeline_registry import STAGES, register_pipelines

IN_DVC = (*STAGES, "paper")
VARIABLES = {
    "env": "mini",
    "variants": ["lmim", "mask_block_60"],
    "seeds": [0, 1],
    "report_seed": 1,
    "paths": {"raw": "data/01_raw"},
    "shown": {"variant": "mask_block_60", "env": "quick", "seed": 2},
}


@pytest.fixture(scope="module")
def stages(project: Path, tmp_path_factory: pytest.TempPathFactory) -> list[PipelineStage]:
    """The stages of dvc.yaml, for two variants and two seeds of an environment that is not the default."""
    folder = tmp_path_factory.mktemp("dvc")
    shutil.copy(project / "dvc.yaml", folder)
    (folder / "conf").mkdir()
    (folder / "conf" / "dvc.yml").write_text(yaml.safe_dump(VARIABLES))
    return list(Repo.init(str(folder), no_scm=True).index.stages)


def pipeline_of(stage: PipelineStage) -> str:
    return stage.name.partition("@")[0]


def options(stage: PipelineStage) -> dict[str, str]:
    command = stage.cmd.rpartition(" && ")[2]
    given = dict(option.removeprefix("--").partition("=")[::2] for option in command.split()[2:])
    assert command.startswith("kedro run --env=") and "pipelines" in given, stage.cmd
    params = dict(item.split("=") for item in given.pop("params", "").split(",") if item)
    return {**given, **params}


def made_by(stage: PipelineStage) -> Pipeline:
    """What the stage's command runs: the shared teacher has a stage of its own within the pretrain pipeline."""
    pipeline = register_pipelines()[options(stage)["pipelines"]]
    name = "pretrain.make_teacher"
    if name not in {node.name for node in pipeline.nodes}:
        return pipeline
    teacher = pipeline.only_nodes(name)
    return teacher if options(stage).get("nodes") == "make_teacher" else pipeline - teacher


def data(paths: list[Any]) -> list[PurePosixPath]:
    return [PurePosixPath(path.def_path) for path in paths if path.def_path.startswith("data/")]


def catalog_paths(project: Path, stage: PipelineStage) -> dict[str, PurePosixPath]:
    """Dataset -> its path, as the catalog has it for the options of a stage's command."""
    bootstrap_project(project)
    given = options(stage)
    runtime: dict[str, Any] = {"variant": given["variant"]} if "variant" in given else {}
    if "seed" in given:
        runtime["seed"] = int(given["seed"])
    with KedroSession.create(project, env=given["env"], runtime_params=runtime, save_on_close=False) as session:
        resolver = session.load_context().catalog.config_resolver
    entries = {name: resolver.resolve_pattern(name) for name in made_by(stage).datasets()}
    return {
        name: PurePosixPath(entry["filepath"]).relative_to(project)
        for name, entry in entries.items()
        if "filepath" in entry
    }


def covers(outer: list[PurePosixPath], path: PurePosixPath) -> bool:
    return any(path.is_relative_to(each) for each in outer)


def test_every_pipeline_is_a_stage_and_runs_alone(stages: list[PipelineStage]) -> None:
    assert {pipeline_of(stage) for stage in stages} == {*IN_DVC, "teacher"}
    for stage in stages:
        assert options(stage)["env"] == "mini"
        assert options(stage)["pipelines"] == ("pretrain" if pipeline_of(stage) == "teacher" else pipeline_of(stage))


def test_training_is_done_for_every_variant_and_seed(stages: list[PipelineStage]) -> None:
    for name, count in (
        ("ingest", 1),
        ("views", 2),
        ("teacher", 2),
        ("pretrain", 4),
        ("finetune", 4),
        ("evaluate", 4),
        ("report", 2),
        ("paper", 1),
    ):
        assert sum(pipeline_of(stage) == name for stage in stages) == count, name


@pytest.mark.parametrize("name", [*IN_DVC, "teacher"])
def test_outs_are_what_the_catalog_lets_the_pipeline_write(
    project: Path, stages: list[PipelineStage], name: str
) -> None:
    for stage in (stage for stage in stages if pipeline_of(stage) == name):
        paths, outs = catalog_paths(project, stage), data(stage.outs)
        written = [paths[dataset] for dataset in made_by(stage).all_outputs() if dataset in paths]
        assert written
        for path in written:
            assert covers(outs, path), f"{stage.name} does not list {path}"
        for out in outs:
            assert any(path.is_relative_to(out) for path in written), f"{stage.name} lists {out}, which nothing writes"


@pytest.mark.parametrize("name", [*STAGES, "teacher"])
def test_deps_are_what_the_catalog_lets_the_pipeline_read_from_earlier_stages(
    project: Path, stages: list[PipelineStage], name: str
) -> None:
    pipelines = register_pipelines()
    made_before = {dataset for stage in STAGES for dataset in pipelines[stage].all_outputs()}
    for stage in (stage for stage in stages if pipeline_of(stage) == name):
        paths, deps = catalog_paths(project, stage), data(stage.deps)
        read = [paths[dataset] for dataset in made_by(stage).inputs() & made_before if dataset in paths]
        for path in read:
            assert covers(deps, path), f"{stage.name} does not depend on {path}"
        for dep in deps:
            raw = dep.is_relative_to("data/01_raw")
            assert raw or any(path.is_relative_to(dep) for path in read), f"{stage.name} does not read {dep}"


def test_tables_are_made_of_what_every_variant_and_seed_was_evaluated_to(
    project: Path, stages: list[PipelineStage]
) -> None:
    (tables,) = (stage for stage in stages if pipeline_of(stage) == "paper")
    deps = data(tables.deps)
    assert deps == [PurePosixPath("data/07_model_output")]
    for stage in stages:
        if pipeline_of(stage) == "evaluate":
            assert all(covers(deps, out) for out in data(stage.outs))


def test_tables_come_after_every_evaluation(stages: list[PipelineStage]) -> None:
    (tables,) = (stage for stage in stages if pipeline_of(stage) == "paper")
    graph = tables.repo.index.graph
    before = {stage.name for stage in graph.successors(tables)}
    assert before == {stage.name for stage in stages if pipeline_of(stage) == "evaluate"}


def test_pre_training_forgets_a_teacher_of_its_own(project: Path, stages: list[PipelineStage]) -> None:
    """It is no out, so DVC does not remove it, and `--only-missing-outputs` would keep one of an older recipe."""
    for stage in (stage for stage in stages if pipeline_of(stage) == "pretrain"):
        encoder = catalog_paths(project, stage)["encoder"]
        assert stage.cmd.startswith(f"rm -rf {encoder.with_name('teacher')} && kedro run")


def test_packed_stores_stay_out_of_the_cache(stages: list[PipelineStage]) -> None:
    outs = [out for stage in stages for out in stage.outs if PurePosixPath(out.def_path).name == "crops"]
    assert len(outs) == 3
    assert not any(out.use_cache for out in outs)


def test_results_are_in_the_cache_because_git_ignores_them(stages: list[PipelineStage]) -> None:
    """Otherwise another commit has no metrics to compare with, and another clone no tables."""
    for stage in stages:
        for out in stage.outs:
            path = PurePosixPath(out.def_path)
            made_again = path.name == "crops" or path.is_relative_to("data/04_feature")
            assert out.use_cache != made_again, f"{stage.name}: {path}"


def test_metrics_are_a_few_numbers_for_each_variant(stages: list[PipelineStage]) -> None:
    metrics = [out.def_path for stage in stages for out in stage.outs if out.metric]
    assert metrics == [
        f"data/08_reporting/{variant}/{VARIABLES['env']}/seed{VARIABLES['report_seed']}/metrics.json"
        for variant in VARIABLES["variants"]
    ]


def test_plots_and_metrics_of_the_shown_run_are_tables_that_the_catalog_writes(project: Path) -> None:
    text = (project / "dvc.yaml").read_text("utf-8")
    shown = VARIABLES["shown"]
    for name, value in shown.items():
        text = text.replace(f"${{shown.{name}}}", str(value))
    written = yaml.safe_load(text)
    files = [*written["metrics"], *(file for plot in written["plots"] for own in plot.values() for file in own["y"])]
    bootstrap_project(project)
    given = {"variant": shown["variant"], "seed": shown["seed"]}
    with KedroSession.create(project, env=shown["env"], runtime_params=given, save_on_close=False) as session:
        resolver = session.load_context().catalog.config_resolver
    stages = sum((register_pipelines()[stage] for stage in STAGES), start=Pipeline([]))
    entries = [resolver.resolve_pattern(name) for name in stages.all_outputs()]
    paths = {str(Path(entry["filepath"]).relative_to(project)) for entry in entries if "filepath" in entry}
    assert set(files) <= paths
    templates = {own["template"] for plot in written["plots"] for own in plot.values() if "template" in own}
    assert {path.stem for path in (project / ".dvc/plots").glob("*.json")} == templates - {"scatter"}


def test_the_artifact_is_an_out(project: Path, stages: list[PipelineStage]) -> None:
    (artifact,) = yaml.safe_load((project / "dvc.yaml").read_text("utf-8"))["artifacts"].values()
    path = artifact["path"].replace("${env}", VARIABLES["env"]).replace("${report_seed}", str(VARIABLES["report_seed"]))
    assert path in {out.def_path for stage in stages for out in stage.outs}


def test_code_and_configuration_that_stages_depend_on_exist(project: Path, stages: list[PipelineStage]) -> None:
    for stage in stages:
        for dep in stage.deps:
            if not dep.def_path.startswith("data/"):
                assert (project / dep.def_path).exists(), f"{stage.name} depends on {dep.def_path}"


def test_parameter_files_hold_no_resolvers(project: Path) -> None:
    for file in [*(project / "conf").glob("*/[!c]*.yml"), project / "conf" / "dvc.yml"]:
        assert "${" not in file.read_text("utf-8"), f"`dvc exp run -S` fails on {file}"


def test_variables_name_an_environment_and_variants_that_exist(project: Path) -> None:
    variables = yaml.safe_load((project / "conf" / "dvc.yml").read_text("utf-8"))
    assert variables.keys() == VARIABLES.keys()
    assert (project / "conf" / variables["env"]).is_dir()
    written = yaml.safe_load((project / "conf" / "base" / "variants.yml").read_text("utf-8"))
    assert set(variables["variants"]) <= set(written["variants"])
    assert variables["report_seed"] in variables["seeds"]
    assert (project / "conf" / variables["shown"]["env"]).is_dir()
