"""`lmim-kedro` and `python -m lmim_kedro`: `kedro run`, without the word kedro."""

from __future__ import annotations

import sys
from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*arguments: Any, **options: Any) -> Any:
    """Run the project found in the working folder; takes the options of `kedro run`."""
    configure_project("lmim_kedro")
    options.setdefault("standalone_mode", not hasattr(sys, "ps1"))  # in an interactive session: return, do not exit
    return find_run_command("lmim_kedro")(*arguments, **options)


if __name__ == "__main__":
    main()
