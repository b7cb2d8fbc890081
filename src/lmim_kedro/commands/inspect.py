"""`lmim-kedro inspect`: what would be read of a path, before anything is read."""

from pathlib import Path

import click

from lmim_kedro.commands.options import layout_option, outside_option
from lmim_kedro.text.marks import on_lines


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@layout_option
@outside_option
@click.option("--rows", default=5, show_default=True, type=click.IntRange(0), help="First crops to show.")
def inspect(path: Path, layout: str | None, allow_outside: bool, rows: int) -> None:
    """Show what PATH is and what would be read of it, in about a second.

    It prints the layout and what it was recognized by, how many crops there are, the first of them, characters that
    the ready reader cannot write, and what is passed over and why. PATH is a folder, list, LMDB, archive or image.
    """
    from lmim_kedro.reading.inspection import inspect_path

    for line in inspect_path(path, layout, rows, allow_outside=allow_outside):
        click.echo(on_lines(line))
