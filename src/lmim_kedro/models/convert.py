"""The old name of `lmim-kedro convert`."""

import sys

from lmim_kedro.old_names import call

if __name__ == "__main__":
    sys.exit(call("lmim_kedro.models.convert", "convert"))
