"""`lmim-kedro run` and `kedro run`: Kedro's command, with a user's mistake told in one sentence."""

import copy
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

if not any(Path("conf", name).is_file() for name in ("logging.yml", "logging.yaml")):
    # Kedro sets logging up when it is imported. Where the package runs away from its project, it would log everything.
    os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(Path(__file__).parents[1] / "logging.yml"))

from kedro.framework.cli.project import run as kedro_run  # noqa: E402
from kedro.framework.project import configure_project, pipelines  # noqa: E402
from kedro.pipeline import Pipeline  # noqa: E402

from lmim_kedro.errors import InputError, did_you_mean, sentence_of  # noqa: E402
from lmim_kedro.locks import WAIT  # noqa: E402

# These log a failure (its text, nodes to resume from) before the exception arrives here.
FAILURE_LOGGERS = (
    "kedro.pipeline.node",
    *(f"kedro.runner.{kind}_runner" for kind in ("sequential", "thread", "parallel")),
)
RENAMED = {"tables": "paper"}
"""Pipelines that had another name before 0.2."""
NODES = ("node_names", "from_nodes", "to_nodes")
"""Options that name nodes."""

_KEDROS_RUN: Callable[..., Any] = kedro_run.callback  # type: ignore[assignment]


def require_steps(options: dict[str, Any]) -> dict[str, Any]:
    """Check that the pipelines and nodes that a run names exist, and complete the names of nodes.

    Returns:
        The options, in which `make_teacher` has become `pretrain.make_teacher`.

    Errors: InputError with the names that do exist.
    """
    names = [*filter(None, [options.get("pipeline")]), *(options.get("pipelines") or ())] or ["__default__"]
    for name in names:
        if name in RENAMED:
            raise InputError(f"the pipeline `{name}` is now called `{RENAMED[name]}`: use --pipelines={RENAMED[name]}")
        if name not in pipelines:
            known = [known for known in pipelines if known != "__default__"]
            raise InputError(f"there is no pipeline `{name}`{did_you_mean(name, known)}: choose {', '.join(known)}")
    chosen = sum((pipelines[name] for name in names), start=Pipeline([]))
    options = options | {
        option: _complete(options.get(option) or (), chosen) for option in NODES if options.get(option)
    }
    same = ("tags", "from_nodes", "to_nodes", "node_names", "from_inputs", "to_outputs")
    filters = {name: name for name in same} | {"node_namespaces": "namespaces"}  # Pipeline.filter's names and Kedro's
    try:
        chosen.filter(**{name: list(given) for name, option in filters.items() if (given := options.get(option))})
    except ValueError as error:
        hint = "`kedro registry describe` lists nodes, `kedro viz run` shows all"
        raise InputError(f"{str(error).rstrip('.')}: {hint}") from error
    return options


def _complete(names: Iterable[str], chosen: Pipeline) -> list[str]:
    """Put the namespace before each name that one node alone has; Kedro lists the nodes that share another."""
    full = []
    for name in names:
        found = [node.name for node in chosen.nodes if f".{node.name}".endswith(f".{name}")]
        full.append(found[0] if len(found) == 1 else name)
    return full


class _Held(logging.Filter):
    """Keeps back what loggers say until it is known whether anyone should read it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def filter(self, record: logging.LogRecord) -> bool:
        self.records.append(record)
        return False


def _run(wait: bool, **options: Any) -> Any:
    configure_project("lmim_kedro")
    WAIT.set(wait)
    options = require_steps(options)
    held = _Held()
    for name in FAILURE_LOGGERS:
        logging.getLogger(name).addFilter(held)
    sentence = None
    try:
        return _KEDROS_RUN(**options)
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        raise sentence from None
    finally:
        for name in FAILURE_LOGGERS:
            logging.getLogger(name).removeFilter(held)
        if sentence is None:
            for record in held.records:
                logging.getLogger(record.name).handle(record)


_wait = click.Option(
    ["--wait"], is_flag=True, help="Wait for another run that writes to the same folders, instead of ending at once."
)
run = copy.copy(kedro_run)
run.params = [*kedro_run.params, _wait]
run.callback = _run
