from __future__ import annotations

import importlib.util
import json
import shutil
from contextlib import chdir
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

import pytest
import yaml
from dvc.repo import Repo
from dvc.stage import PipelineStage
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline
from omegaconf import OmegaConf

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
PARAMETERS = PurePosixPath("data/02_intermediate/parameters")


@pytest.fixture(scope="module")
def checkout(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What DVC needs of a clone, with two variants and two seeds of an environment that is not the default."""
    folder = tmp_path_factory.mktemp("dvc")
    shutil.copy(project / "dvc.yaml", folder)
    shutil.copytree(project / "scripts", folder / "scripts")
    shutil.copytree(project / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    (folder / "conf" / "local").mkdir()
    (folder / "conf" / "dvc.yml").write_text(yaml.safe_dump(VARIABLES))
    file = folder / "conf" / "base" / "variants.yml"
    written = yaml.safe_load(file.read_text("utf-8"))["variants"]
    file.write_text(yaml.safe_dump({"variants": {name: written[name] for name in VARIABLES["variants"]}}))
    Repo.init(str(folder), no_scm=True).close()
    return folder


@pytest.fixture(scope="module")
def every_stage(checkout: Path) -> list[PipelineStage]:
    return list(Repo(str(checkout)).index.stages)


@pytest.fixture(scope="module")
def stages(every_stage: list[PipelineStage]) -> list[PipelineStage]:
    """All but the first, which runs no pipeline."""
    return [stage for stage in every_stage if stage.name != "parameters"]


@pytest.fixture(scope="module")
def script(project: Path) -> ModuleType:
    """scripts/stage_parameters.py."""
    spec = importlib.util.spec_from_file_location("stage_parameters", project / "scripts/stage_parameters.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    found = [PurePosixPath(path.def_path) for path in paths if path.def_path.startswith("data/")]
    return [path for path in found if not path.is_relative_to(PARAMETERS)]


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


def change_parameters(file: Path, change: dict[str, Any]) -> None:
    written = OmegaConf.load(file) if file.is_file() else OmegaConf.create()
    OmegaConf.save(OmegaConf.merge(written, change), file)


def to_run_again(folder: Path) -> set[str]:
    """Names of the stages that `dvc repro --dry --force-downstream` lists after `dvc repro parameters`."""
    with chdir(folder), Repo() as repo:
        repo.commit("parameters", force=True)
    with chdir(folder), Repo() as repo:
        return {stage.name for stage in repo.reproduce(dry=True, force_downstream=True)}


def covers(outer: list[PurePosixPath], path: PurePosixPath) -> bool:
    """Whether a path is in one of some, or is the folder of a recognizer whose two files are named."""
    files = {path / "config.json", path / "model.safetensors"}
    return any(path.is_relative_to(each) for each in outer) or files <= set(outer)


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
        written = [path for path in written if path != paths.get("model_card")]  # the report makes it anew
        assert written
        for path in written:
            assert covers(outs, path), f"{stage.name} does not list {path}"
        for out in outs:
            assert any(path.is_relative_to(out) or out.parent == path for path in written), (
                f"{stage.name} lists {out}, which nothing writes"
            )


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
            assert raw or any(path.is_relative_to(dep) or dep.parent == path for path in read), (
                f"{stage.name} does not read {dep}"
            )


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
    before = {stage.name for stage in graph.successors(tables)} - {"parameters"}
    assert before == {stage.name for stage in stages if pipeline_of(stage) == "evaluate"}


def test_pre_training_forgets_a_teacher_of_its_own(project: Path, stages: list[PipelineStage]) -> None:
    """It is no out, so DVC does not remove it, and `--only-missing-outputs` would keep one of an older recipe."""
    for stage in (stage for stage in stages if pipeline_of(stage) == "pretrain"):
        encoder = catalog_paths(project, stage)["encoder"]
        assert f"shutil.rmtree('{encoder.with_name('teacher')}', True)" in stage.cmd.partition(" && kedro run")[0]


def test_commands_are_those_of_any_shell(every_stage: list[PipelineStage]) -> None:
    for stage in every_stage:
        assert {part.split()[0] for part in stage.cmd.split(" && ")} <= {"kedro", "python"}, stage.cmd


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


def test_every_stage_depends_on_the_parameters_that_its_nodes_read(
    script: ModuleType, checkout: Path, stages: list[PipelineStage]
) -> None:
    script.write(checkout / "conf", "mini", checkout / PARAMETERS / "mini")
    for stage in stages:
        (dep,) = [dep.def_path for dep in stage.deps if PurePosixPath(dep.def_path).is_relative_to(PARAMETERS)]
        read = {name.removeprefix("params:") for name in made_by(stage).inputs() if name.startswith("params:")}
        # `training` says how a machine trains, and the folder names the environment; of the recipe, see below.
        groups = read - {"training", "env", "recipe"} - ({"card"} if pipeline_of(stage) == "finetune" else set())
        written = json.loads((checkout / dep).read_text("utf-8"))
        assert groups <= written.keys(), f"{stage.name} reads {groups - written.keys()}"


FROM_FINETUNING = {"finetune", "evaluate", "report", "paper"}
FROM_PRETRAINING = {"pretrain", *FROM_FINETUNING}
ALL = {"ingest", "views", "teacher", *FROM_PRETRAINING}


@pytest.fixture(scope="module")
def done(
    script: ModuleType, checkout: Path, every_stage: list[PipelineStage], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A copy of the checkout after a `dvc repro`, with a placeholder for every file that is not its parameters."""
    folder = shutil.copytree(checkout, tmp_path_factory.mktemp("done") / "clone")
    script.write(folder / "conf", "mini", folder / PARAMETERS / "mini")
    paths = [folder / each.def_path for stage in every_stage for each in (*stage.deps, *stage.outs)]
    for path in sorted(paths, key=lambda path: -len(path.parts)):  # folders come with the files in them
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'{{"of": "{path}"}}')
    with chdir(folder), Repo() as repo:
        repo.commit(force=True)
    return folder


@pytest.mark.parametrize(
    ("file", "change", "again"),
    [
        ("mini", {"finetuning": {"optimization": {"steps": 7}}}, FROM_FINETUNING),
        ("local", {"finetuning": {"optimization": {"steps": 7}}}, FROM_FINETUNING),
        ("local", {"ingest": {"store_height": 24}}, ALL),
        ("mini", {"views": {"preset": "weak"}}, {"views", *FROM_PRETRAINING}),
        ("mini", {"pretraining": {"alignment_weight": 0.5}}, {"teacher", *FROM_PRETRAINING}),
        ("mini", {"evaluation": {"metric": "exact"}}, FROM_FINETUNING - {"finetune"}),
        ("local", {"training": {"threads": 3}, "ingest": {"workers": 3}}, set()),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_parameter_makes_the_stages_that_use_it_and_what_follows_run_again(
    script: ModuleType, done: Path, tmp_path: Path, file: str, change: dict[str, Any], again: set[str]
) -> None:
    folder = shutil.copytree(done, tmp_path / "clone")
    change_parameters(folder / "conf" / file / "parameters.yml", change)
    script.write(folder / "conf", "mini", folder / PARAMETERS / "mini")
    assert {name.partition("@")[0] for name in to_run_again(folder)} == again


def test_a_change_of_a_variant_reruns_that_variant_alone(script: ModuleType, done: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(done, tmp_path / "clone")
    change = {"variants": {"mask_block_60": {"pretraining": {"mask_ratio": 0.5}}}}
    change_parameters(folder / "conf" / "base" / "variants.yml", change)
    script.write(folder / "conf", "mini", folder / PARAMETERS / "mini")
    names = to_run_again(folder)
    assert {name.partition("@")[0] for name in names} == FROM_PRETRAINING
    assert not any("lmim" in name for name in names)


def test_the_dry_run_of_the_documentation_names_every_stage_of_a_fresh_clone(
    project: Path, checkout: Path, every_stage: list[PipelineStage]
) -> None:
    assert "dvc repro --dry --force-downstream" in (project / "docs" / "reproduce.md").read_text("utf-8")
    shutil.rmtree(checkout / "data", ignore_errors=True)
    for path in [checkout / dep.def_path for stage in every_stage for dep in stage.deps]:
        if not path.exists() and not path.is_relative_to(checkout / "data"):
            path.mkdir(parents=True)
    (checkout / "data/01_raw").mkdir(parents=True)
    with chdir(checkout), Repo() as repo:
        run = repo.reproduce(dry=True, force_downstream=True)
    assert {stage.name for stage in run} == {stage.name for stage in every_stage}


def test_the_stage_of_parameters_ends_in_a_sentence(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--env=nonsense"]) == 2
    assert capsys.readouterr().err.startswith("there is no environment `nonsense`")


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
