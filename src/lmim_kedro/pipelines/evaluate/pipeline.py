"""The evaluate stage: recognizer and benchmarks -> predictions."""

from kedro.pipeline import Pipeline, node

from lmim_kedro.pipelines.evaluate.nodes import judge, look, look_at_cls, note_facts, read_benchmarks, reconstruct


def create_pipeline() -> Pipeline:
    """A recognizer and benchmark crops in, judged predictions out."""
    crops = ["benchmarks.crops", "params:evaluation", "params:training"]
    seen_by_cls = ["cls_statistics", "cls_neighbors"]
    return Pipeline(
        [
            node(read_benchmarks, ["recognizer", *crops], "readings", name="read_benchmarks", tags="gpu"),
            node(judge, ["readings", "benchmarks.manifest", "params:evaluation"], "predictions", name="judge"),
            node(look, ["encoder", *crops], "attention", name="look", tags="gpu"),
            node(look_at_cls, ["encoder", "pretrained_model", *crops], seen_by_cls, name="look_at_cls", tags="gpu"),
            node(reconstruct, ["pretrained_model", *crops], "reconstructions", name="reconstruct", tags="gpu"),
            node(note_facts, ["recognizer", "params:training"], "run_facts", name="note_facts"),
        ]
    )
