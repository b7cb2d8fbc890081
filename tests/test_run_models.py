"""Recipes on disk and the models beside them: what belongs together, and what --only-missing-outputs may keep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline

from lmim_kedro.errors import InputError
from lmim_kedro.files import SUMS
from lmim_kedro.hooks import RunHooks
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.weights import Origin, load_encoder, load_recognizer, recorded_recipe, save_model
from lmim_kedro.params import FinetuningParams, ModelParams, PretrainingParams, ViewPreset
from lmim_kedro.pipeline_registry import register_pipelines
from lmim_kedro.recipe import Recipe
from lmim_kedro.run_models import require_pairs, require_recipes
from lmim_kedro.text.charset import Charset

KINDS = {"teacher": "encoder", "encoder": "encoder", "pretrained_model": "pretraining", "recognizer": "recognizer"}
JSONS = ("pretraining_recipe", "recipe", "views.policy")


@pytest.fixture(scope="module")
def stages() -> dict[str, Pipeline]:
    return register_pipelines()


@pytest.fixture
def asked(columns_size: ModelParams, recipe: PretrainingParams) -> Recipe:
    finetuning = {"optimization": recipe.optimization, "max_length": 6, "augmentation": "none", "decoder": "ctc"}
    return Recipe(
        variant="lmim",
        env="sample",
        seed=0,
        model_name="small",
        model=columns_size,
        views=ViewPreset(),
        views_name="none",
        pretraining=recipe,
        finetuning=FinetuningParams.model_validate(finetuning),
    )


@pytest.fixture
def catalog(tmp_path: Path) -> DataCatalog:
    models = {
        name: {"type": "lmim_kedro.datasets.models.ModelDataset", "kind": kind, "filepath": str(tmp_path / name)}
        for name, kind in KINDS.items()
    }
    jsons = {name: {"type": "json.JSONDataset", "filepath": str(tmp_path / f"{name}.json")} for name in JSONS}
    return DataCatalog.from_config(models | jsons)


def note(catalog: DataCatalog) -> None:
    """What the steps note_pretraining and note_recipe do."""
    catalog.save("pretraining_recipe", recorded_recipe(catalog.load("encoder")))
    catalog.save("recipe", recorded_recipe(catalog.load("recognizer")))


@pytest.fixture
def made(catalog: DataCatalog, asked: Recipe) -> DataCatalog:
    """What pre-training and fine-tuning leave."""
    plain = asked.model_dump(mode="json")
    torch.manual_seed(0)
    lmim: Any = LMIM(asked.model, asked.pretraining, Encoder(asked.model))
    recognizer: Any = Recognizer(asked.model, Charset("ab"), "ctc")
    lmim.origin = lmim.encoder.origin = Origin(plain)
    catalog.save("teacher", lmim.encoder)
    catalog.save("encoder", lmim.encoder)
    catalog.save("pretrained_model", lmim)
    recognizer.origin = Origin(plain | {"encoder_sha256": catalog.load("encoder").origin.sha256})
    catalog.save("recognizer", recognizer)
    catalog.save("views.policy", plain["views"])
    note(catalog)
    return catalog


def with_changes(recipe: Recipe, name: str, value: Any) -> Recipe:
    plain = recipe.model_dump(mode="json")
    *groups, last = name.split(".")
    place = plain
    for group in groups:
        place = place[group]
    place[last] = value
    return Recipe.model_validate(plain)


def test_a_recipe_has_the_checksum_of_the_weights_beside_it(made: DataCatalog, tmp_path: Path, asked: Recipe) -> None:
    sums = dict(reversed(line.split("  ")) for line in (tmp_path / "recognizer" / SUMS).read_text().splitlines())
    recipe = made.load("recipe")
    assert recipe["sha256"] == sums["model.safetensors"] == load_recognizer(tmp_path / "recognizer").origin.sha256
    assert recipe["encoder_sha256"] == made.load("pretraining_recipe")["sha256"]
    same = Recipe.model_validate(recipe).model_copy(update={"sha256": None, "encoder_sha256": None})
    assert same == asked
    assert "sha256" not in json.loads((tmp_path / "recognizer/config.json").read_text())["recipe"]  # SHA256SUMS has it


@pytest.mark.parametrize("stage", ["finetune", "evaluate", "predict"])
def test_what_was_made_together_is_read_together(stages: dict[str, Pipeline], made: DataCatalog, stage: str) -> None:
    require_pairs(stages[stage], made, "/")


def test_a_run_that_starts_from_a_recognizer_asks_for_no_recipe_of_its_encoder(
    stages: dict[str, Pipeline], made: DataCatalog
) -> None:
    made["pretraining_recipe"] = MemoryDataset(None)  # as the hooks do with finetuning.start
    require_pairs(stages["finetune"] + stages["evaluate"], made, Path())


def test_a_recognizer_beside_the_recipe_of_another_is_refused_until_its_own_is_noted(
    stages: dict[str, Pipeline], made: DataCatalog, tmp_path: Path
) -> None:
    other: Any = load_recognizer(tmp_path / "recognizer")
    torch.nn.init.normal_(other.classifier.weight)
    save_model(tmp_path / "recognizer", other)  # a run that was stopped before it could note the recipe
    sentence = (
        r"^the recognizer in recognizer and the recipe of this run do not belong together \(checksums of the weights: "
        r"\w{12} and \w{12}\): .* run `kedro run --nodes=note_recipe` with the same --env"
    )
    with pytest.raises(InputError, match=sentence):
        require_pairs(stages["evaluate"], made, tmp_path)
    require_pairs(stages["finetune"] + stages["evaluate"], made, tmp_path)  # which makes both
    note(made)
    require_pairs(stages["evaluate"], made, tmp_path)


def test_an_encoder_that_the_recognizer_did_not_begin_with_is_refused(
    stages: dict[str, Pipeline], made: DataCatalog, tmp_path: Path
) -> None:
    other: Any = load_encoder(tmp_path / "encoder")
    torch.nn.init.normal_(other.cls_token)
    save_model(tmp_path / "encoder", other)
    with pytest.raises(InputError, match="^the encoder in encoder and the recipe of .*--nodes=note_pretraining`"):
        require_pairs(stages["finetune"], made, tmp_path)
    note(made)
    require_pairs(stages["finetune"], made, tmp_path)
    with pytest.raises(
        InputError, match="^the recognizer in recognizer was fine-tuned from another encoder .*finetune`"
    ):
        require_pairs(stages["evaluate"], made, tmp_path)


def test_folders_of_earlier_versions_are_taken_as_they_are(
    stages: dict[str, Pipeline], made: DataCatalog, tmp_path: Path, asked: Recipe
) -> None:
    for name in KINDS:
        (tmp_path / name / SUMS).unlink()
        config = json.loads((tmp_path / name / "config.json").read_text())
        (tmp_path / name / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "recipe"}))
    require_pairs(stages["evaluate"], made, tmp_path)
    with pytest.raises(InputError, match="does not say how it was made"):
        recorded_recipe(made.load("recognizer"))
    longer = with_changes(asked, "finetuning.optimization.steps", 3)
    with pytest.raises(InputError, match=r"recognizer in recognizer \(finetuning.optimization.steps was 2, is 3\)"):
        require_recipes(stages["finetune"], made, tmp_path, longer)  # the recipe beside it says so


CHANGES = [
    (
        "pretraining",
        "pretraining.optimization.batch_size",
        32,
        "encoder in encoder and pretrained_model in pretrained_",
    ),
    ("pretraining", "pretraining.teacher.optimization.steps", 9, "teacher in teacher"),
    ("pretraining", "seed", 1, "encoder in encoder and pretrained_model in pretrained_model and teacher in teacher"),
    ("pretraining", "model.depth", 3, "encoder in encoder and pretrained_model in pretrained_model and teacher in"),
    ("views", "views.rotate", 7, "views.policy in views.policy.json"),
    ("finetuning", "finetuning.charset", "english_36", "recognizer in recognizer"),
    ("finetuning", "pretraining.mask_ratio", 0.5, "recognizer in recognizer"),
]


@pytest.mark.parametrize(("stage", "name", "value", "kept"), CHANGES, ids=[change[1] for change in CHANGES])
def test_only_missing_outputs_keeps_nothing_of_another_recipe(
    stages: dict[str, Pipeline],
    made: DataCatalog,
    asked: Recipe,
    tmp_path: Path,
    stage: str,
    name: str,
    value: Any,
    kept: str,
) -> None:
    pipeline = stages[{"pretraining": "pretrain", "finetuning": "finetune"}.get(stage, stage)]
    require_recipes(pipeline, made, tmp_path, asked)
    with pytest.raises(InputError) as caught:
        require_recipes(pipeline, made, tmp_path, with_changes(asked, name, value))
    sentence = str(caught.value)
    assert sentence.startswith("--only-missing-outputs would keep what was made with another recipe: ")
    assert kept in sentence and f"{name} was " in sentence and f"is {value}" in sentence, sentence


@pytest.mark.parametrize(
    ("stage", "name", "value"),
    [
        ("pretrain", "finetuning.charset", "english_36"),
        ("pretrain", "model.recognizer.width", 64),
        ("views", "pretraining.mask_ratio", 0.5),
    ],
)
def test_what_a_model_does_not_depend_on_is_no_other_recipe(
    stages: dict[str, Pipeline], made: DataCatalog, asked: Recipe, stage: str, name: str, value: Any
) -> None:
    require_recipes(stages[stage], made, "/", with_changes(asked, name, value))


def test_what_is_not_there_yet_is_made_with_any_recipe(
    stages: dict[str, Pipeline], catalog: DataCatalog, asked: Recipe
) -> None:
    for stage in ("views", "pretrain", "finetune"):
        require_recipes(stages[stage], catalog, "/", asked)


def test_a_run_is_refused_before_its_first_step(
    stages: dict[str, Pipeline], made: DataCatalog, asked: Recipe, tmp_path: Path
) -> None:
    run: dict[str, Any] = {"project_path": str(tmp_path), "env": None, "runtime_params": {}}
    made["params:recipe"] = MemoryDataset(with_changes(asked, "views.rotate", 7))
    with pytest.raises(InputError, match="views.policy in views.policy.json .*views.rotate was .*, is 7"):
        RunHooks().before_pipeline_run(run | {"only_missing_outputs": True}, stages["views"], made)
    made["benchmarks.crops"] = MemoryDataset([])
    looking = stages["evaluate"].only_nodes("evaluate.look")
    hooks = RunHooks()
    hooks.before_pipeline_run(run, looking, made)
    hooks.on_pipeline_error()
    made.save("pretraining_recipe", made.load("pretraining_recipe") | {"sha256": "0" * 64})
    with pytest.raises(InputError, match="--nodes=note_pretraining"):
        hooks.before_pipeline_run(run, looking, made)
