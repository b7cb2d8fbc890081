"""`lmim-kedro` and `python -m lmim_kedro`."""

import sys
from typing import Any

from lmim_kedro.cli import cli


def main(*arguments: Any, **options: Any) -> Any:
    """Run the command line. In an interactive session it returns instead of exiting."""
    options.setdefault("standalone_mode", not hasattr(sys, "ps1"))
    return cli(*arguments, **options)


if __name__ == "__main__":
    main()
