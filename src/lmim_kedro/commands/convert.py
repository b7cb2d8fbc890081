"""`lmim-kedro convert`: checkpoints from and to the released code."""

from pathlib import Path

import click

from lmim_kedro.errors import InputError
from lmim_kedro.text.marks import on_lines

heads_option = click.option("--heads", type=int, help="Attention heads of the encoder, if not 64 features each.")
path = click.Path(path_type=Path)


@click.group()
def convert() -> None:
    """Inspect, import and export checkpoints of the released code."""


@convert.command()
@click.argument("file", type=path)
@heads_option
def inspect(file: Path, heads: int | None) -> None:
    """Print what a checkpoint holds, and how large its model is."""
    _require_file(file)
    from lmim_kedro.models import released

    click.echo(on_lines(released.inspect(file, heads)))


@convert.command("import")
@click.argument("file", type=path)
@click.argument("folder", type=path)
@heads_option
@click.option("--encoder", is_flag=True, help="Of a recognizer, import the encoder only.")
@click.option("--charset", default="english_94", show_default=True, help="Charset of a recognizer.")
@click.option("--max-length", default=25, show_default=True, help="Decoding steps of a recognizer; 40 for Chinese.")
def import_(file: Path, folder: Path, heads: int | None, encoder: bool, charset: str, max_length: int) -> None:
    """Write the released recognizer, or the encoder of any known layout, as a folder of this project."""
    _require_file(file)
    from lmim_kedro.models import released

    click.echo(on_lines(released.import_file(file, folder, charset, max_length, heads, encoder)))


@convert.command()
@click.argument("folder", type=path)
@click.argument("file", type=path)
def export(folder: Path, file: Path) -> None:
    """Write a folder of this project as a file that the released code loads."""
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} holds no config.json: give a folder in which this project wrote a model")
    from lmim_kedro.models import released

    click.echo(on_lines(released.export_folder(folder, file)))


def _require_file(file: Path) -> None:
    """Check before torch is imported."""
    if not file.exists():
        raise InputError(f"there is no checkpoint at {file}: check the path")
