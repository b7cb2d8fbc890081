"""`lmim-kedro compare`: two recognizers on the same crops."""

from pathlib import Path

import click

from lmim_kedro.commands.options import metric_option
from lmim_kedro.errors import InputError
from lmim_kedro.text.marks import on_lines


@click.command()
@click.argument("a")
@click.argument("b")
@metric_option
@click.option(
    "--differences", type=click.Path(path_type=Path), help="CSV to write the crops to that one alone reads right."
)
def compare(a: str, b: str, metric: str, differences: Path | None) -> None:
    """Compare A and B, each a predictions.parquet or a file that `score` reads."""
    from lmim_kedro.scoring import compare as scoring
    from lmim_kedro.scoring.metrics import verdicts

    if metric not in (known := verdicts()):
        raise InputError(f"{metric} is graded, and a comparison needs right and wrong: choose {', '.join(known)}")
    pairs = scoring.pair_up(scoring.read_predictions(a), scoring.read_predictions(b), (a, b))
    sides = pairs["label"].tolist(), pairs["prediction_a"].tolist(), pairs["prediction_b"].tolist()
    result = scoring.compare(*sides, metric)
    if not result.count:
        raise InputError(f"none of the {result.unscorable:,} labels can be scored by {metric}: choose another metric")
    click.echo(on_lines(f"A: {a}\nB: {b}\n{result.table(metric)}"))
    if differences:
        count = scoring.write_differences(pairs, metric, differences)
        click.echo(on_lines(f"{count:,} crops that one alone reads right: {differences}"))
