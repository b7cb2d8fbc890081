"""Nodes of the views stage."""

from __future__ import annotations

import logging
from typing import Any

from lmim_kedro.params import Parameters, ViewPreset, ViewsParams, pick

log = logging.getLogger(__name__)


def resolve_views(views: ViewsParams, view_presets: dict[str, Any]) -> dict[str, Any]:
    """The preset that the parameters name. Errors: InputError for one that is not defined."""
    chosen = pick(view_presets, views.preset, "views.preset")
    return ViewPreset.model_validate(chosen).model_dump(mode="json")


def draw_views(crops: Any, policy: dict[str, Any], parameters: dict[str, Any]) -> tuple[Any, Any]:
    """A contact sheet of crops and their views, and statistics of the policy on a sample of crops."""
    from lmim_kedro.views.show import show_views

    chosen = Parameters.model_validate(parameters)
    size = pick(chosen.models, chosen.model, "model")
    sheet, statistics = show_views(
        crops, ViewPreset.model_validate(policy), chosen.views, size.image_height, size.image_width, chosen.seed
    )
    log.info("guidance views %s\n%s", chosen.views.preset, statistics.round(3).to_string(index=False))
    return sheet, statistics


def draw_augmentation(crops: Any, parameters: dict[str, Any]) -> Any:
    """A contact sheet of labeled crops with the augmentation of fine-tuning."""
    from lmim_kedro.views.show import show_augmentation

    chosen = Parameters.model_validate(parameters)
    size = pick(chosen.models, chosen.model, "model")
    log.info("fine-tuning %s, augmentation %s", chosen.finetuning.preset, chosen.finetuning.augmentation)
    return show_augmentation(crops, chosen.finetuning, size, chosen.views, chosen.seed)


def materialize_views(crops: Any, policy: dict[str, Any], parameters: dict[str, Any]) -> Any:
    """The plan of a store with `views.materialize` views per crop; it is carried out where the catalog saves it."""
    from lmim_kedro.views.materialize import ViewStorePlan

    chosen = Parameters.model_validate(parameters)
    size = pick(chosen.models, chosen.model, "model")
    return ViewStorePlan(
        crops=crops,
        preset=ViewPreset.model_validate(policy),
        views=chosen.views.materialize,
        height=size.image_height,
        width=size.image_width,
        seed=chosen.seed,
        shard_crops=chosen.ingest.shard_crops,
    )
