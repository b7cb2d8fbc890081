"""LMIM: linguistics-aware masked image modelling for scene text recognition, as a Kedro project."""

__version__ = "0.1.0"
