"""The six stages as Kedro pipelines."""
