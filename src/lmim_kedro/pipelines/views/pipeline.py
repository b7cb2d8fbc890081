"""The views stage: decides and shows the guidance views, and writes them into a store where asked to."""

from kedro.pipeline import Pipeline, node

from lmim_kedro.pipelines.views.nodes import draw_views, materialize_views, resolve_views


def create_pipeline() -> Pipeline:
    """Packed crops in; the policy, its contact sheet and statistics, and a store of views out."""
    drawing = ["pretraining.crops", "views.policy", "parameters"]
    return Pipeline(
        [
            node(resolve_views, ["params:views", "params:view_presets"], "views.policy", name="resolve_views"),
            node(draw_views, drawing, ["views.sheet", "views.statistics"], name="draw_views"),
            node(materialize_views, drawing, "views.store", name="materialize_views"),
        ]
    )
