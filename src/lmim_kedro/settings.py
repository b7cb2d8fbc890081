"""Kedro's settings of this project: https://docs.kedro.org/en/stable/kedro_project_setup/settings.html."""

from lmim_kedro.config import ConfigLoader
from lmim_kedro.hooks import RunHooks

CONFIG_LOADER_CLASS = ConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "sample",
    # An environment writes down only what it changes.
    "merge_strategy": {"parameters": "soft", "globals": "soft"},
}
HOOKS = (RunHooks(),)
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)
