"""`lmim-kedro score`: how much of what was predicted is right."""

from collections.abc import Iterator
from pathlib import Path

import click

from lmim_kedro.commands.options import metric_option
from lmim_kedro.errors import InputError
from lmim_kedro.text.marks import on_lines


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@metric_option
def score(files: tuple[str, ...], metric: str) -> None:
    """Print crops and accuracy in percent of each FILE, or of each benchmark of an evaluate run.

    FILE has `index [prediction] [label]` lines, is CSV, TSV or JSONL with a header, or is a predictions.parquet.
    """
    for file in files:
        for name, predictions, labels in _sets(file):
            click.echo(on_lines(_line(name, predictions, labels, metric)))


def _sets(file: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """What is scored by itself: name, predictions and labels."""
    if Path(file).suffix != ".parquet":
        from lmim_kedro.scoring.files import read_pairs

        yield file, *read_pairs(file)
        return
    from lmim_kedro.scoring.compare import read_predictions

    for benchmark, crops in read_predictions(file).groupby("benchmark", sort=False):
        yield f"{file} {benchmark}", list(crops["prediction"]), list(crops["label"])


def _line(name: str, predictions: list[str], labels: list[str], metric: str) -> str:
    from lmim_kedro.registries import METRICS
    from lmim_kedro.scoring.metrics import score

    result = score(predictions, labels, metric)
    if result.count == 0:
        raise InputError(
            f"{name}: none of its {result.unscorable} labels can be scored by {metric}: choose another metric"
        )
    line = f"{name}: {result.count} crops, {METRICS[metric].title} {100 * result.accuracy:.2f} %"
    return f"{line}, {result.unscorable} labels cannot be scored" if result.unscorable else line
