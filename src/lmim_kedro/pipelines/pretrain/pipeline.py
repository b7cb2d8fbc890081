"""The pretrain stage: recipe -> teacher -> LMIM."""

from kedro.pipeline import Pipeline, node, pipeline

from lmim_kedro.pipelines.pretrain.nodes import make_teacher, pretrain, resolve_pretraining


def create_pipeline() -> Pipeline:
    """Crops and a recipe in, a pre-trained encoder out."""
    return pipeline(
        [
            node(resolve_pretraining, "params:recipe", "pretraining_recipe", name="resolve_pretraining"),
            node(
                make_teacher,
                ["pretraining.crops", "params:recipe", "params:training", "training_state"],
                ["teacher", "teacher_metrics"],
                name="make_teacher",
            ),
            node(
                pretrain,
                [
                    "pretraining.crops",
                    "teacher",
                    "pretraining_recipe",
                    "params:views",
                    "params:training",
                    "training_state",
                    "views.store",
                ],
                ["pretrained_model", "encoder", "pretraining_metrics"],
                name="pretrain",
            ),
        ]
    )
