from lmim_kedro.pipelines.report.pipeline import create_pipeline as create_pipeline
