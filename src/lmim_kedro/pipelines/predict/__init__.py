from lmim_kedro.pipelines.predict.pipeline import create_pipeline as create_pipeline
