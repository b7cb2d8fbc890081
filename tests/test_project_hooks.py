from __future__ import annotations

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node, pipeline

from lmim_kedro import hooks
from lmim_kedro.config import ConfigLoader
from lmim_kedro.datasets.crop_sources import CropSources
from lmim_kedro.datasets.path import PathDataset
from lmim_kedro.errors import InputError
from lmim_kedro.settings import CONFIG_LOADER_ARGS


def same(value: Any) -> Any:
    return value


def both(first: Any, second: Any) -> Any:
    return first, second


STAGES: dict[str, Pipeline] = {
    "ingest": pipeline([node(same, "raw", "crops", name="read")]),
    "pretrain": pipeline([node(same, "crops", "encoder", name="train")]),
    "finetune": pipeline([node(both, ["crops", "encoder"], "recognizer", name="tune")]),
}


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataCatalog:
    monkeypatch.setattr(hooks, "pipelines", STAGES)
    names = ("raw", "crops", "encoder", "recognizer")
    made = files_in(tmp_path / "data", *names)
    made["params:env"] = MemoryDataset("small")
    return made


def files_in(folder: Path, *names: str) -> DataCatalog:
    return DataCatalog.from_config(
        {name: {"type": "json.JSONDataset", "filepath": str(folder / f"{name}.json")} for name in names}
    )


def run_params(tmp_path: Path, **given: Any) -> dict[str, Any]:
    return {"project_path": str(tmp_path), "env": None, "runtime_params": {}, **given}


def test_missing_inputs_are_listed_with_the_stages_that_make_them(catalog: DataCatalog, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        hooks.require_inputs(run_params(tmp_path), STAGES["finetune"], catalog)
    assert str(caught.value) == (
        '"crops" at data/crops.json (of ingest); "encoder" at data/encoder.json (of pretrain) are not there yet: '
        "run `kedro run --env=small --pipelines=ingest,pretrain` first"
    )
    catalog.save("crops", [1])
    with pytest.raises(
        InputError, match=r'"encoder" at data/encoder.json .* `kedro run --env=small --pipelines=pretrain` first'
    ):
        hooks.require_inputs(run_params(tmp_path), STAGES["finetune"], catalog)


def test_command_keeps_the_environment_and_parameters_of_the_run(catalog: DataCatalog, tmp_path: Path) -> None:
    given = {"variant": "mim", "pretraining": {"mask_ratio": 0.5, "teacher": {"path": None}}}
    with pytest.raises(InputError) as caught:
        hooks.require_inputs(run_params(tmp_path, env="mini", runtime_params=given), STAGES["pretrain"], catalog)
    assert (
        "run `kedro run --env=mini --pipelines=ingest "
        "--params=variant=mim,pretraining.mask_ratio=0.5,pretraining.teacher.path=null` first"
    ) in str(caught.value)


def test_run_with_all_inputs_there_starts(catalog: DataCatalog, tmp_path: Path) -> None:
    catalog.save("crops", [1])
    hooks.require_inputs(run_params(tmp_path), STAGES["pretrain"], catalog)


def test_what_the_run_makes_itself_need_not_be_there(catalog: DataCatalog, tmp_path: Path) -> None:
    whole = sum(STAGES.values(), start=Pipeline([]))
    hooks.require_inputs(run_params(tmp_path), whole, catalog)


def test_raw_and_memory_inputs_are_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "pipelines", STAGES)
    catalog = DataCatalog({"crops": MemoryDataset([1])})
    hooks.require_inputs(run_params(tmp_path), STAGES["ingest"], catalog)
    hooks.require_inputs(run_params(tmp_path), STAGES["pretrain"], catalog)


def test_run_is_refused_before_its_first_node(catalog: DataCatalog, tmp_path: Path) -> None:
    only_missing = run_params(tmp_path, only_missing_outputs=True)
    for asked in (run_params(tmp_path), only_missing):
        with pytest.raises(InputError, match='"crops" at data/crops.json is not there yet'):
            hooks.RunHooks().before_pipeline_run(asked, STAGES["pretrain"], catalog)
    catalog.save("encoder", [1])
    hooks.RunHooks().before_pipeline_run(only_missing, STAGES["pretrain"], catalog)  # no step of it is taken


def test_what_steps_that_were_left_out_keep_in_memory_is_named_with_them(
    catalog: DataCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [node(same, "recognizer", "figures", name="draw"), node(both, ["figures", "crops"], "page", name="render")]
    report = pipeline(steps, namespace="report", prefix_datasets_with_namespace=False)
    monkeypatch.setattr(hooks, "pipelines", STAGES | {"report": report})
    catalog.save("crops", [1])
    with pytest.raises(InputError) as caught:
        hooks.require_inputs(run_params(tmp_path), report.only_nodes("report.render"), catalog)
    assert str(caught.value) == (
        '"figures" (in memory only, from report.draw) is not there yet: '
        "run `kedro run --env=small --pipelines=report` instead"
    )


def test_run_names_its_steps_and_says_where_the_results_are(
    catalog: DataCatalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalog.save("crops", [1])
    caplog.set_level(logging.INFO, "lmim_kedro")
    run, made = hooks.RunHooks(), STAGES["pretrain"]
    run.before_pipeline_run(run_params(tmp_path), made, catalog)
    run.before_node_run(made.nodes[0])
    run.after_node_run(made.nodes[0])
    run.after_pipeline_run(run_params(tmp_path), made, catalog)
    step, summary = caplog.messages
    assert step == "step 1/1: train"
    assert summary.splitlines()[0] == "1 step in 0 s"
    assert summary.splitlines()[-1].split() == ["train", "0", "encoder", "data"]


def test_results_kept_for_the_case_of_a_stop_go_when_the_run_has_ended(tmp_path: Path) -> None:
    for stage, name in (("teacher", "finished.pt"), ("pre-training", "step-00000005.pt")):
        (tmp_path / "state" / stage).mkdir(parents=True)
        (tmp_path / "state" / stage / name).touch()
    trained = pipeline([node(both, ["crops", "training_state"], "encoder", name="train")])
    catalog = DataCatalog({"training_state": PathDataset(filepath=str(tmp_path / "state"))})
    hooks.RunHooks().after_pipeline_run(run_params(tmp_path), trained, catalog)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["pre-training"]


def test_results_are_listed_by_stage_and_folder_with_minutes_and_the_page_comes_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = pipeline(
        [
            node(lambda crops: (crops, crops), "crops", ["encoder", "memory"], name="pretrain.make"),
            node(same, "encoder", "losses", name="pretrain.train"),
            node(same, "losses", "report", name="report.draw"),
        ]
    )
    places = {"encoder": "data/06/encoder.json", "losses": "data/06/x/losses.json", "report": "data/08/report.html"}
    listed = DataCatalog.from_config(
        {name: {"type": "text.TextDataset", "filepath": str(tmp_path / place)} for name, place in places.items()}
    )
    caplog.set_level(logging.INFO, "lmim_kedro")
    run = hooks.RunHooks()
    run._seconds = {"pretrain.make": 60, "pretrain.train": 30}
    run.after_pipeline_run(run_params(tmp_path), made, listed)
    summary, last = caplog.messages
    assert [line.split() for line in summary.splitlines()[3:]] == [
        ["pretrain", "1.5", "encoder", "data/06"],
        ["losses", "data/06/x"],
        ["report", "0", "report", "data/08"],
    ]
    assert last == "open data/08/report.html"


def test_a_run_that_scores_says_the_scores(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scores: dict[str, Any] = {
        "metric": "waics",
        "accuracy": {"svt": {"n": 4, "waics": 0.5}},
        "interval_95": {"svt": [0.25, 0.75]},
    }
    listed = files_in(tmp_path / "data", "scores")
    listed.save(
        "scores", scores | {"beside": None, "averages": {}, "variant": "mim", "env": "small", "labels": "original"}
    )
    caplog.set_level(logging.INFO, "lmim_kedro")
    scored = pipeline([node(same, "predictions", "scores", name="report.score")])
    hooks.RunHooks().after_pipeline_run(run_params(tmp_path), scored, listed)
    assert caplog.messages[0] == "svt: WAICS 50.00 % (95 %: 25.0 to 75.0) of 4 crops"


def test_files_of_conf_local_are_named(
    project: Path, tmp_path: Path, catalog: DataCatalog, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(project / "conf" / "base", tmp_path / "conf" / "base")
    (tmp_path / "conf" / "mine").mkdir()
    (tmp_path / "conf" / "local").mkdir()
    (tmp_path / "conf" / "local" / "parameters.yml").write_text("seed: 3")
    config = ConfigLoader(tmp_path / "conf", "mine", **CONFIG_LOADER_ARGS)
    assert config["parameters"]["seed"] == 3
    run = hooks.RunHooks()
    run.after_context_created(SimpleNamespace(config_loader=config))
    caplog.set_level(logging.INFO, "lmim_kedro")
    catalog.save("crops", [1])
    run.before_pipeline_run(run_params(tmp_path), STAGES["pretrain"], catalog)
    assert caplog.messages == ["from conf/local, over conf/mine: parameters.yml"]


def test_all_sources_are_looked_at_before_the_first_is_packed(tmp_path: Path) -> None:
    sources = {use: CropSources(sources={use: {"path": f"no/{use}"}}) for use in ("labeled", "unlabeled")}
    packing = pipeline([node(same, use, f"{use}_crops", name=f"pack_{use}") for use in sources])
    with pytest.raises(InputError) as caught:
        hooks.RunHooks().before_pipeline_run(run_params(tmp_path), packing, DataCatalog(dict(sources)))
    assert [line.split() for line in str(caught.value).splitlines()[:-1]] == [
        ["nothing", "is", "there", "yet", "of", "labeled:"],
        ["labeled", "no/labeled"],
        ["nothing", "is", "there", "yet", "of", "unlabeled:"],
        ["unlabeled", "no/unlabeled"],
    ]
    assert "catalog_ingest.yml" in str(caught.value).splitlines()[-1]
    (tmp_path / "notes.pdf").touch()
    sources["labeled"] = CropSources(sources={"labeled": {"path": str(tmp_path / "notes.pdf")}})
    with pytest.raises(InputError, match="^source labeled: .*notes.pdf.*\nsource unlabeled: there is nothing at"):
        hooks.RunHooks().before_pipeline_run(run_params(tmp_path), packing, DataCatalog(dict(sources)))
