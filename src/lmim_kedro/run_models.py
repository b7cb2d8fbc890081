"""Checks before a run that models on disk are what their recipes say, and what the run asks for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from lmim_kedro.datasets.models import ModelDataset
from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json, read_sums
from lmim_kedro.models.folder import CONFIG, WEIGHTS
from lmim_kedro.recipe import Recipe, changes, needs_teacher, require_pair
from lmim_kedro.run_folders import place_of

NOTED = {"encoder": ("pretraining_recipe", "note_pretraining"), "recognizer": ("recipe", "note_recipe")}
"""Model -> the recipe beside it, and the step that writes that."""


def require_pairs(pipeline: Pipeline, catalog: DataCatalog, project: str | Path) -> None:
    """Check that each model that a run reads belongs to the recipe beside it, and a recognizer to its encoder.

    What a run makes itself, it makes as a pair.

    Errors: InputError with the command that makes them a pair again.
    """
    made = pipeline.all_outputs()
    read = {name: _model(catalog, name) for name in NOTED if name in pipeline.inputs()}
    sums = {name: read_sums(model.path).get(WEIGHTS) for name, model in read.items() if model is not None}
    places = {name: f"the {name} in {place_of(catalog, name, project)}" for name in sums}
    recipes: dict[str, Mapping[str, Any]] = {}
    for name, sha256 in sums.items():
        recipe, step = NOTED[name]
        if recipe in made or recipe not in catalog or not catalog.exists(recipe):
            continue
        if (found := catalog.load(recipe)) is not None:  # None: fine-tuning starts from a recognizer, not from it
            recipes[name] = found
            require_pair(recipes[name], sha256, places[name], f"kedro run --nodes={step}")
    began, encoder = recipes.get("recognizer", {}).get("encoder_sha256"), sums.get("encoder")
    if began and encoder and began != encoder:
        raise InputError(
            f"{places['recognizer']} was fine-tuned from another encoder (weights {began[:12]}) than "
            f"{places['encoder']} ({encoder[:12]}): run `kedro run --pipelines=finetune` with the same --env and "
            "--params"
        )


def require_recipes(pipeline: Pipeline, catalog: DataCatalog, project: str | Path, recipe: Recipe) -> None:
    """Check, where --only-missing-outputs keeps what is there, that it was made with the recipe that is asked for.

    Errors: InputError with all differences.
    """
    trained = needs_teacher(recipe.pretraining) and recipe.pretraining.target == "mae_features"
    groups = {
        "views.policy": ("views",),
        "teacher": ("seed", "model", *(["pretraining.teacher"] if trained else [])),
        "encoder": ("seed", "model", "views", "pretraining"),
        "pretrained_model": ("seed", "model", "views", "pretraining"),
        "recognizer": ("seed", "model", "views", "pretraining", "finetuning"),
    }
    kept: dict[str, list[str]] = {}
    for name in sorted(groups.keys() & pipeline.all_outputs()):
        if name not in catalog or not catalog.exists(name) or (made := _recipe_of(catalog, name)) is None:
            continue
        found = changes(made, recipe, *groups[name])
        if name != "recognizer":
            found = [change for change in found if not change.startswith("model.recognizer.")]
        if found:
            kept.setdefault("; ".join(found), []).append(f"{name} in {place_of(catalog, name, project)}")
    if kept:
        each = "; ".join(f"{' and '.join(places)} ({found})" for found, places in kept.items())
        raise InputError(
            f"--only-missing-outputs would keep what was made with another recipe: {each}. Put the old values back, "
            "give the command without --only-missing-outputs to make it anew, or choose another variant or seed"
        )


def _recipe_of(catalog: DataCatalog, name: str) -> Mapping[str, Any] | None:
    """What is on disk was made with, as plain values; None where nothing says so."""
    if name == "views.policy":
        return {"views": catalog.load(name)}
    model = _model(catalog, name)
    if model is None:
        return None
    made: Mapping[str, Any] | None = read_json(model.path / CONFIG).get("recipe")
    beside = "recipe" if name == "recognizer" else "pretraining_recipe"
    if made is None and name != "teacher" and beside in catalog and catalog.exists(beside):
        made = catalog.load(beside)  # an earlier version noted it there alone
    return made


def _model(catalog: DataCatalog, name: str) -> ModelDataset | None:
    """The dataset of a model that is on disk; None for one in memory."""
    dataset = catalog.get(name)
    return dataset if isinstance(dataset, ModelDataset) else None
