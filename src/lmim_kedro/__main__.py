"""`lmim-kedro` and `python -m lmim_kedro`: `run` (`kedro run`, also without the word), `read` and `serve`."""

from __future__ import annotations

import sys
from typing import Any

from kedro.framework.project import configure_project


def main(*arguments: Any, **options: Any) -> Any:
    """The command line; `run` runs the project found in the working folder and takes the options of `kedro run`."""
    from lmim_kedro.cli import cli

    configure_project("lmim_kedro")
    options.setdefault("standalone_mode", not hasattr(sys, "ps1"))  # in an interactive session: return, do not exit
    return cli(*arguments, **options)


if __name__ == "__main__":
    main()
