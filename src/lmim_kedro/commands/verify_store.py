"""`lmim-kedro verify-store`: are the shards of a packed store as they were made?"""

from pathlib import Path

import click

from lmim_kedro.text.marks import on_lines


@click.command("verify-store")
@click.argument("store", type=click.Path(path_type=Path))
def verify_store(store: Path) -> None:
    """Read every shard of STORE, the folder with store.json, and compare its files with their sizes and hashes.

    The exit status is 1 if a shard is not as it was made. The command that made the store makes such shards anew.
    """
    from lmim_kedro.crops.store.cards import shard_fault
    from lmim_kedro.crops.store.packed import PackedStore

    damaged = 0
    shards = PackedStore(store, whole=True).shards
    for shard in shards:
        fault = shard_fault(shard.folder)
        damaged += fault is not None
        what = f"{shard.folder.name}  {shard.crops:,} crops of {shard.source}"
        click.echo(on_lines(f"ok       {what}" if fault is None else f"DAMAGED  {what}: {fault}"))
    rest = "; run the command that made the store again, which makes the others anew" if damaged else ""
    click.echo(on_lines(f"{len(shards) - damaged} of {len(shards)} shards are as they were made{rest}"))
    raise click.exceptions.Exit(1 if damaged else 0)
