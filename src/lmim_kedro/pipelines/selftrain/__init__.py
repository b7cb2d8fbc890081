from lmim_kedro.pipelines.selftrain.pipeline import create_pipeline as create_pipeline
