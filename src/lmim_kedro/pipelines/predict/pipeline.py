"""The predict pipeline: a recognizer and crops without labels -> readings."""

from kedro.pipeline import Pipeline, node, pipeline

from lmim_kedro.pipelines.predict.nodes import read_crops


def create_pipeline() -> Pipeline:
    """A recognizer and crops in, a table of readings out."""
    return pipeline(
        [
            node(
                read_crops,
                [
                    *("predict.recognizer", "predict.sources", "predict.readings_file"),
                    *("params:predict", "params:training", "params:ingest"),
                ],
                "predict.readings",
                name="read_crops",
                tags="gpu",
            )
        ]
    )
