from lmim_kedro.pipelines.paper.pipeline import create_pipeline as create_pipeline
