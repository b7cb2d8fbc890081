"""Score prediction files: `python -m lmim_kedro.scoring --metric waics FILE ...`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lmim_kedro.errors import InputError
from lmim_kedro.scoring.compare import read_predictions
from lmim_kedro.scoring.files import read_pairs
from lmim_kedro.scoring.metrics import METRICS, score


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line per file, or per benchmark of an evaluate run: its crops and its accuracy in percent.

    Returns 1 at a file that cannot be used.
    """
    parser = argparse.ArgumentParser(prog="python -m lmim_kedro.scoring", description="Score prediction files.")
    parser.add_argument("--metric", choices=METRICS, default="waics", help="default: %(default)s")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="`index [prediction] [label]` lines; CSV, TSV, JSONL with a header; predictions.parquet",
    )
    options = parser.parse_args(arguments)
    for file in options.files:
        try:
            for name, predictions, labels in _sets(file):
                print(_line(name, predictions, labels, options.metric))
        except InputError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _sets(file: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """What is scored by itself: name, predictions and labels."""
    if Path(file).suffix != ".parquet":
        pairs = read_pairs(file)
        yield file, pairs.predictions, pairs.labels
        return
    for benchmark, crops in read_predictions(file).groupby("benchmark", sort=False):
        yield f"{file} {benchmark}", list(crops["prediction"]), list(crops["label"])


def _line(name: str, predictions: list[str], labels: list[str], metric: str) -> str:
    result = score(predictions, labels, metric)
    if result.count == 0:
        raise InputError(
            f"{name}: none of its {result.unscorable} labels can be scored by {metric}: choose another metric"
        )
    line = f"{name}: {result.count} crops, {METRICS[metric].title} {100 * result.accuracy:.2f} %"
    return f"{line}, {result.unscorable} labels cannot be scored" if result.unscorable else line


if __name__ == "__main__":
    sys.exit(main())
