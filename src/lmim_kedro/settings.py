"""Kedro's settings of this project: https://docs.kedro.org/en/stable/kedro_project_setup/settings.html."""

from lmim_kedro.config import ConfigLoader
from lmim_kedro.hooks import RunHooks
from lmim_kedro.params import CHOICES

CONFIG_LOADER_CLASS = ConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    # Without --env, the sample. conf/local, which git ignores, is laid over whichever environment is run: credentials,
    # `training: {device: cuda:1}`, the paths of this machine's crops.
    "default_run_env": "sample",
    # Kinds of configuration beside parameters, catalog and credentials: a run uses one entry of each.
    "config_patterns": {choice: [f"{choice}*", f"{choice}*/**", f"**/{choice}*"] for choice in CHOICES},
    # An environment writes down only what it changes.
    "merge_strategy": dict.fromkeys(("parameters", "globals", *CHOICES), "soft"),
}
HOOKS = (RunHooks(),)
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)
