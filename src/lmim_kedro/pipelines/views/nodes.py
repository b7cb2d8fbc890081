"""Nodes of the views stage."""

import logging
from pathlib import Path

from lmim_kedro.params import IngestParams, ViewPreset, ViewsParams
from lmim_kedro.pipelines.node_types import DataFrame, Json, PackedStore, ndarray
from lmim_kedro.recipe import Recipe

log = logging.getLogger(__name__)


def resolve_views(recipe: Recipe) -> Json:
    """The preset of guidance views that this run uses."""
    return recipe.views.model_dump(mode="json")


def draw_views(crops: PackedStore, policy: Json, recipe: Recipe, views: ViewsParams) -> tuple[ndarray, DataFrame]:
    """A contact sheet of crops and their views, and statistics of the policy on a sample of crops."""
    from lmim_kedro.views.show import show_views

    sheet, statistics = show_views(crops, ViewPreset.model_validate(policy), views, recipe.model, recipe.seed)
    log.info("guidance views %s\n%s", recipe.views_name, statistics.round(3).to_string(index=False))
    return sheet, statistics


def draw_augmentation(crops: PackedStore, recipe: Recipe, views: ViewsParams) -> ndarray:
    """A contact sheet of labeled crops with the augmentation of fine-tuning."""
    from lmim_kedro.views.show import show_augmentation

    log.info("fine-tuning %s, augmentation %s", recipe.finetuning.preset, recipe.finetuning.augmentation)
    return show_augmentation(crops, recipe.finetuning, recipe.model, views, recipe.seed)


def materialize_views(
    crops: PackedStore, policy: Json, recipe: Recipe, views: ViewsParams, ingest: IngestParams, folder: Path
) -> PackedStore:
    """A store in `folder` with `views.materialize` views per crop; shards that are there already are kept."""
    from lmim_kedro.views.materialize import ViewStorePlan

    plan = ViewStorePlan(
        crops=crops,
        preset=ViewPreset.model_validate(policy),
        views=views.materialize,
        height=recipe.model.image_height,
        width=recipe.model.image_width,
        seed=recipe.seed,
        shard_crops=ingest.shard_crops,
        keep_ratio=recipe.model.keep_ratio,
    )
    return plan.write(folder)
