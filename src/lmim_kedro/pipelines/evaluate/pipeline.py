"""The evaluate stage: recognizer and benchmarks -> predictions."""

from kedro.pipeline import Pipeline, node, pipeline

from lmim_kedro.pipelines.evaluate.nodes import judge, look, look_at_cls, note_facts, read_benchmarks, reconstruct


def create_pipeline() -> Pipeline:
    """A recognizer and benchmark crops in, judged predictions out."""
    return pipeline(
        [
            node(
                read_benchmarks,
                ["recognizer", "benchmarks.crops", "params:evaluation", "params:training"],
                "readings",
                name="read_benchmarks",
            ),
            node(judge, ["readings", "benchmarks.manifest", "params:evaluation"], "predictions", name="judge"),
            node(
                look, ["encoder", "benchmarks.crops", "params:evaluation", "params:training"], "attention", name="look"
            ),
            node(
                look_at_cls,
                ["encoder", "pretrained_model", "benchmarks.crops", "params:evaluation", "params:training"],
                ["cls_statistics", "cls_neighbors"],
                name="look_at_cls",
            ),
            node(
                reconstruct,
                ["pretrained_model", "benchmarks.crops", "params:evaluation", "params:training"],
                "reconstructions",
                name="reconstruct",
            ),
            node(note_facts, ["recognizer", "params:training"], "run_facts", name="note_facts"),
        ]
    )
