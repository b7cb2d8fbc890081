"""Options that several commands take."""

from pathlib import Path

import click

from lmim_kedro.reading.folder import MODELS, newest_recognizer
from lmim_kedro.registries import METRICS


def _known(ctx: click.Context, option: click.Parameter, name: str) -> str:
    """Check the name of a metric without importing it."""
    if name not in METRICS:
        raise click.BadParameter(f"{name!r} is none of {', '.join(METRICS)}.")
    return name


metric_option = click.option("--metric", default="waics", show_default=True, callback=_known, help="Name of a metric.")
model_option = click.option(
    "--model",
    type=click.Path(path_type=Path),
    help=f"Folder of a recognizer, or of one that `export-onnx` wrote.  [default: the newest of {MODELS}]",
)


def chosen_model(model: Path | None) -> Path:
    """The folder that --model names, or the newest; says which it is. Errors: InputError if there is none."""
    if model is None:
        model = newest_recognizer()
        click.echo(f"reading with {model}", err=True)
    return model
