"""The pretrain stage: recipe -> teacher -> LMIM."""

from kedro.pipeline import Pipeline, node

from lmim_kedro.pipelines.pretrain.nodes import make_teacher, pretrain, resolve_pretraining


def create_pipeline() -> Pipeline:
    """Crops and a recipe in, a pre-trained encoder out."""
    running = ["params:training", "training_state"]
    given = ["pretraining.crops", "teacher", "pretraining_recipe", "params:views", *running, "views.store"]
    made = ["pretrained_model", "encoder", "pretraining_metrics"]
    return Pipeline(
        [
            node(resolve_pretraining, "params:recipe", "pretraining_recipe", name="resolve_pretraining"),
            node(
                make_teacher,
                ["pretraining.crops", "params:recipe", *running],
                ["teacher", "teacher_metrics"],
                name="make_teacher",
                tags="gpu",
            ),
            node(pretrain, given, made, name="pretrain", tags="gpu"),
        ]
    )
