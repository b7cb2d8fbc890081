"""Options that several commands take."""

from pathlib import Path

import click

from lmim_kedro.reading.folder import MODELS, newest_recognizer

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
