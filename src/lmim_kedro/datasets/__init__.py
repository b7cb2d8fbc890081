"""Kedro dataset types of the project, with previews for Kedro-Viz."""
