"""The finetune stage: encoder, or another recognizer -> recognizer."""

from kedro.pipeline import Pipeline, node

from lmim_kedro.pipelines.finetune.nodes import describe_recognizer, finetune, note_recipe


def create_pipeline() -> Pipeline:
    """Labeled crops and a pre-trained encoder in, a recognizer out.

    With `finetuning.start`, the hooks give None for what pre-training would have left.
    """
    return Pipeline(
        [
            node(
                finetune,
                [
                    *("finetuning.crops", "encoder", "pretraining_recipe"),
                    *("params:recipe", "params:training", "training_state"),
                ],
                ["recognizer", "finetuning_metrics"],
                name="finetune",
                tags="gpu",
            ),
            node(note_recipe, "recognizer", "recipe", name="note_recipe"),
            node(
                describe_recognizer,
                ["recognizer", "finetuning.crops", "recipe", "params:card", "params:training"],
                "model_card",
                name="describe_recognizer",
            ),
        ]
    )
