"""`lmim-kedro verify`: is the model exactly the published one?"""

from pathlib import Path

import click

from lmim_kedro.errors import InputError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def verify(folder: Path) -> None:
    """Compare every quantity with what the released code computed (docs/weights.md describes FOLDER).

    The exit status is 1 if a quantity is beyond the tolerance.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: give the folder of values that the released code computed")
    from lmim_kedro.models import verify as quantities

    failed = total = 0
    for comparison in quantities.verify(folder):
        total += 1
        failed += not comparison.holds
        verdict = "ok " if comparison.holds else "OFF"
        click.echo(f"{verdict}  {comparison.difference:9.2e}  {comparison.quantity}  {list(comparison.shape)}")
    rest = f"; {failed} are not" if failed else ""
    click.echo(f"{total - failed} of {total} quantities within {quantities.TOLERANCE:g}{rest}")
    raise click.exceptions.Exit(1 if failed else 0)
