from lmim_kedro.pipelines.evaluate.pipeline import create_pipeline as create_pipeline
