"""The old name of `lmim-kedro export-lmdb`."""

import sys

from lmim_kedro.old_names import call

if __name__ == "__main__":
    sys.exit(call("lmim_kedro.crops.export", "export-lmdb"))
