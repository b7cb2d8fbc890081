"""Score prediction files: `python -m lmim_kedro.scoring --metric waics FILE ...`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lmim_kedro.errors import InputError
from lmim_kedro.scoring.files import read_pairs
from lmim_kedro.scoring.metrics import METRICS, score


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line per file: its crops and its accuracy in percent. Returns 1 at a file that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m lmim_kedro.scoring", description="Score prediction files.")
    parser.add_argument("--metric", choices=METRICS, default="waics", help="default: %(default)s")
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="`index [prediction] [label]` lines, or CSV, TSV, JSONL with a header"
    )
    options = parser.parse_args(arguments)
    for file in options.files:
        try:
            print(_line(file, options.metric))
        except InputError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _line(file: str, metric: str) -> str:
    pairs = read_pairs(file)
    result = score(pairs.predictions, pairs.labels, metric)
    if result.count == 0:
        raise InputError(
            f"{file}: none of its {result.unscorable} labels can be scored by {metric}: choose another metric"
        )
    line = f"{file}: {result.count} crops, {METRICS[metric].title} {100 * result.accuracy:.2f} %"
    return f"{line}, {result.unscorable} labels cannot be scored" if result.unscorable else line


if __name__ == "__main__":
    sys.exit(main())
