from lmim_kedro.pipelines.views.pipeline import create_pipeline as create_pipeline
