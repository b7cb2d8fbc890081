"""Measurements of speed: each compares the project with the plain way to do the same, in one run."""
