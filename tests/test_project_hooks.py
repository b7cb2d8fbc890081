from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node, pipeline

from lmim_kedro import hooks
from lmim_kedro.datasets.crop_sources import CropSources
from lmim_kedro.datasets.path import PathDataset
from lmim_kedro.errors import InputError


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
    run.after_pipeline_run(run_params(tmp_path), made, catalog)
    assert caplog.messages == ["step 1/1: train", "1 step in 0 s", "encoder: data/encoder.json"]


def test_results_kept_for_the_case_of_a_stop_go_when_the_run_has_ended(tmp_path: Path) -> None:
    for stage, name in (("teacher", "finished.pt"), ("pre-training", "step-00000005.pt")):
        (tmp_path / "state" / stage).mkdir(parents=True)
        (tmp_path / "state" / stage / name).touch()
    trained = pipeline([node(both, ["crops", "training_state"], "encoder", name="train")])
    catalog = DataCatalog({"training_state": PathDataset(filepath=str(tmp_path / "state"))})
    hooks.RunHooks().after_pipeline_run(run_params(tmp_path), trained, catalog)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["pre-training"]


def test_results_are_listed_in_the_order_of_their_steps(
    catalog: DataCatalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = pipeline([node(same, "crops", "zebra"), node(same, "zebra", "apple"), node(same, "crops", "bear")])
    steps = [output for step in made.nodes for output in step.outputs if output != "zebra"]
    listed = files_in(tmp_path / "data", *made.all_outputs())
    caplog.set_level(logging.INFO, "lmim_kedro")
    hooks.RunHooks().after_pipeline_run(run_params(tmp_path), made, listed)
    assert caplog.messages[1:] == [f"{name}: data/{name}.json" for name in steps]


def test_all_sources_are_looked_at_before_the_first_is_packed(tmp_path: Path) -> None:
    sources = {use: CropSources(sources={use: {"path": f"no/{use}"}}) for use in ("labeled", "unlabeled")}
    packing = pipeline([node(same, use, f"{use}_crops", name=f"pack_{use}") for use in sources])
    with pytest.raises(InputError, match="source labeled: there is nothing at no/labeled.*\nsource unlabeled: "):
        hooks.RunHooks().before_pipeline_run(run_params(tmp_path), packing, DataCatalog(dict(sources)))
