"""The finetune stage: encoder, or another recognizer -> recognizer."""

from kedro.pipeline import Pipeline, node

from lmim_kedro.pipelines.finetune.nodes import describe_recognizer, finetune, resolve_recipe


def create_pipeline() -> Pipeline:
    """Labeled crops and a pre-trained encoder in, a recognizer out.

    With `finetuning.start`, the hooks give None for what pre-training would have left.
    """
    return Pipeline(
        [
            node(resolve_recipe, ["params:recipe", "pretraining_recipe"], "recipe", name="resolve_recipe"),
            node(
                finetune,
                ["finetuning.crops", "encoder", "recipe", "params:training", "training_state"],
                ["recognizer", "finetuning_metrics"],
                name="finetune",
                tags="gpu",
            ),
            node(
                describe_recognizer,
                ["recognizer", "finetuning.crops", "recipe", "params:card", "params:training"],
                "model_card",
                name="describe_recognizer",
            ),
        ]
    )
