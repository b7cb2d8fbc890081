"""The views stage: decides, shows and, where asked to, stores the guidance views; shows fine-tuning's augmentation."""

from kedro.pipeline import Pipeline, node

from lmim_kedro.pipelines.views.nodes import draw_augmentation, draw_views, materialize_views, resolve_views


def create_pipeline() -> Pipeline:
    """Packed crops in; the policy, its contact sheet and statistics, a store of views, and the reader's sheet out."""
    drawing = ["pretraining.crops", "views.policy", "params:recipe", "params:views"]
    return Pipeline(
        [
            node(resolve_views, "params:recipe", "views.policy", name="resolve_views"),
            node(draw_views, drawing, ["views.sheet", "views.statistics"], name="draw_views"),
            node(
                draw_augmentation,
                ["finetuning.crops", "params:recipe", "params:views"],
                "views.augmentation_sheet",
                name="draw_augmentation",
            ),
            node(
                materialize_views,
                [*drawing, "params:ingest", "views.store_folder"],
                "views.store",
                name="materialize_views",
            ),
        ],
        tags="data",
    )
