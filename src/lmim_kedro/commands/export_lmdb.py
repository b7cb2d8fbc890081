"""`lmim-kedro export-lmdb`: crops as one LMDB for other tools."""

from pathlib import Path

import click

from lmim_kedro.commands.options import layout_options, outside_option
from lmim_kedro.text.marks import on_lines


@click.command("export-lmdb")
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--use-labels/--no-labels", default=None, help="Stop if there are no labels, or write images alone.")
@layout_options("--layout", "--format")
@outside_option
@click.option("--images", help="Folder that the paths of a list start from, relative to the list.")
def export_lmdb(
    source: Path,
    target: Path,
    use_labels: bool | None,
    layout: str | None,
    allow_outside: bool,
    images: str | None,
) -> None:
    """Write SOURCE, a packed store (the folder with store.json) or raw crops, as an LMDB into the new folder TARGET."""
    from lmim_kedro.crops.ingest.export_lmdb import export

    click.echo(on_lines(export(source, target, use_labels, layout, images, allow_outside)))
