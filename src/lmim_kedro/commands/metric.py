"""The option --metric, which knows the registry of metrics."""

import click

from lmim_kedro.errors import InputError
from lmim_kedro.registries import METRICS


def _known(ctx: click.Context, option: click.Parameter, name: str) -> str:
    """Check the name without importing the metric."""
    if name not in METRICS:
        raise click.BadParameter(f"{name!r} is none of {', '.join(METRICS)}.")
    return name


metric_option = click.option("--metric", default="waics", show_default=True, callback=_known, help="Name of a metric.")


def require_verdict(name: str) -> str:
    """Check that a metric says right or wrong. Errors: InputError for a graded one."""
    from lmim_kedro.scoring.metrics import verdicts

    if name not in verdicts():
        raise InputError(f"{name} is graded, and a comparison needs right and wrong: choose {', '.join(verdicts())}")
    return name
