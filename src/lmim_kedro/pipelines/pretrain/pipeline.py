"""The pretrain stage: teacher -> LMIM -> recipe."""

from kedro.pipeline import Pipeline, node

from lmim_kedro.pipelines.pretrain.nodes import make_teacher, note_pretraining, pretrain


def create_pipeline() -> Pipeline:
    """Crops and a recipe in, a pre-trained encoder out."""
    running = ["params:training", "training_state"]
    given = ["pretraining.crops", "teacher", "params:recipe", "params:views", *running, "views.store"]
    made = ["pretrained_model", "encoder", "pretraining_metrics"]
    return Pipeline(
        [
            node(
                make_teacher,
                ["pretraining.crops", "params:recipe", *running],
                ["teacher", "teacher_metrics"],
                name="make_teacher",
                tags="gpu",
            ),
            node(pretrain, given, made, name="pretrain", tags="gpu"),
            node(note_pretraining, "encoder", "pretraining_recipe", name="note_pretraining"),
        ]
    )
