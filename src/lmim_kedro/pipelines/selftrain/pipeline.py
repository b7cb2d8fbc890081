"""The selftrain pipeline: a recognizer, and crops with and without labels -> another recognizer."""

from kedro.pipeline import Pipeline, node

from lmim_kedro.pipelines.finetune.nodes import describe_recognizer, note_recipe
from lmim_kedro.pipelines.selftrain.nodes import choose_labels, finetune_on_both, pack_labels, read_unlabeled


def create_pipeline() -> Pipeline:
    """One round of self-training: readings of unlabeled crops become labels, and fine-tuning sees both kinds.

    The crops are those of pre-training, which `ingest` has checked for crops of the benchmarks.
    """
    asked = ["params:recipe", "params:selftrain"]
    return Pipeline(
        [
            node(
                read_unlabeled,
                ["pretraining.crops", "finetuning.crops", *asked, "params:training"],
                "selftrain.readings",
                name="read_unlabeled",
                tags="gpu",
            ),
            node(
                choose_labels,
                ["selftrain.readings", "pretraining.crops", *asked, "selftrain.labels_file"],
                ["selftrain.labels", "selftrain.facts"],
                name="choose_labels",
            ),
            node(
                pack_labels,
                ["selftrain.labels", "selftrain.crops_folder", "params:ingest"],
                "selftrain.crops",
                name="pack_labels",
            ),
            node(
                finetune_on_both,
                [
                    *("finetuning.crops", "encoder", "pretraining_recipe", *asked),
                    *("params:training", "training_state", "selftrain.crops"),
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
