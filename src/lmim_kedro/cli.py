"""The project's own commands: Kedro's `run`, except that a user's mistake ends in one sentence; `read`; `serve`."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS

from lmim_kedro.cli_reading import read, serve
from lmim_kedro.errors import InputError

# These log a failure (its text, nodes to resume from) before the exception arrives here.
FAILURE_LOGGERS = (
    "kedro.pipeline.node",
    *(f"kedro.runner.{kind}_runner" for kind in ("sequential", "thread", "parallel")),
)

_NO_PIPELINE = "Failed to find the pipeline named"
_NO_STEP = ("Pipeline does not contain ", "Pipeline contains no nodes ")
_NOT_OURS = " It needs to be generated and returned by the 'register_pipelines' function."
_KEDROS_RUN: Callable[..., Any] = kedro_run.callback  # type: ignore[assignment]


class RunByDefault(click.Group):
    """Without the name of a command, what is given are options of `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before arguments that begin with an option other than --help."""
        first = args[0] if args else ""
        if not first or (first.startswith("-") and first not in ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=RunByDefault, context_settings=CONTEXT_SETTINGS, name="lmim-kedro")
def cli() -> None:
    """Commands of this project; `run` if none is named."""


def input_error(error: BaseException | None) -> InputError | None:
    """Find the InputError that an exception is or was raised from: Kedro wraps what datasets raise.

    What Kedro itself says of a pipeline, node or dataset that does not exist becomes one.
    """
    if isinstance(error, ValueError) and str(error).startswith(_NO_PIPELINE):
        return InputError(str(error).replace("\n    ", " ").replace(_NOT_OURS, ""))
    if isinstance(error, ValueError) and str(error).startswith(_NO_STEP):
        return InputError(f"{str(error).rstrip('.')}: `kedro registry describe` lists nodes, `kedro viz run` shows all")
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__
    return error


class _Held(logging.Filter):
    """Keeps back what loggers say until it is known whether anyone should read it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def filter(self, record: logging.LogRecord) -> bool:
        self.records.append(record)
        return False


def _run(**options: Any) -> Any:
    held = _Held()
    for name in FAILURE_LOGGERS:
        logging.getLogger(name).addFilter(held)
    sentence = None
    try:
        return _KEDROS_RUN(**options)
    except Exception as error:
        sentence = input_error(error)
        if sentence is None:
            raise
    finally:
        for name in FAILURE_LOGGERS:
            logging.getLogger(name).removeFilter(held)
        if sentence is None:
            for record in held.records:
                logging.getLogger(record.name).handle(record)
    click.secho(str(sentence), fg="red", err=True)
    raise click.exceptions.Exit(1)


run = copy.copy(kedro_run)
run.callback = _run
cli.add_command(run)
cli.add_command(read)
cli.add_command(serve)
