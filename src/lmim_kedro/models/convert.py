"""The old name of `lmim-kedro convert`."""

import sys
from importlib import import_module

if __name__ == "__main__":
    sys.exit(import_module("lmim_kedro.commands.convert").main())
