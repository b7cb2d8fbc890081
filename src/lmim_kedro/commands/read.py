"""`lmim-kedro read`: the word in each image."""

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmim_kedro.commands.options import allowed_options, chosen_reader, layout_option, outside_option, recognizer_option
from lmim_kedro.errors import InputError
from lmim_kedro.text.allowed import Allowed
from lmim_kedro.text.marks import on_lines, on_one_line

if TYPE_CHECKING:
    from lmim_kedro.crops.sources.stream import NamedCrop
    from lmim_kedro.text.spelling import Reading


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE_OR_FOLDER...", type=click.Path(path_type=Path))
@recognizer_option
@layout_option
@outside_option
@click.option("--format", "output", type=click.Choice(["text", "csv", "jsonl"]), default="text", show_default=True)
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(1), help="Crops read at once.")
@click.option("--beam", default=1, show_default=True, type=click.IntRange(1), help="Hypotheses; 1: greedy.")
@click.option(
    "--looks",
    type=click.Choice(["1", "3"]),
    help="3: read each crop with more and with less margin too, the surest counts.  [default: the recognizer's own]",
)
@click.option(
    "--language",
    metavar="english|none|FILE",
    help="Language model by which a CTC recognizer chooses where it is not sure.  [default: the recognizer's own]",
)
@allowed_options
def read(
    images: tuple[Path, ...],
    recognizer: str | None,
    layout: str | None,
    allow_outside: bool,
    output: str,
    batch_size: int,
    beam: int,
    looks: str | None,
    language: str | None,
    charset: str | None,
    lexicon: str | None,
    pattern: str | None,
    min_confidence: float,
) -> None:
    """Read the word in each image, in all images below a folder, or in an LMDB, list or archive of crops.

    It reads with the ready reader, which comes with the package, unless --recognizer names another. As text: path,
    word and confidence, separated by tabs. Images that cannot be read are listed on stderr, and the exit status is
    then 1.
    """
    for image in images:
        if image.suffix == "" and not image.exists():
            raise InputError(f"there is nothing at {image}: check the path")
    # A mistake in a path is told before anything is loaded.
    crops = [_crops_of(image, layout, allow_outside) for image in images]
    how: dict[str, Any] = {"allowed": Allowed.of(charset, lexicon, pattern), "min_confidence": min_confidence}
    how |= {"looks": None if looks is None else int(looks), "language": language}
    readings = _Errors(chosen_reader(recognizer).read_named(chain.from_iterable(crops), batch_size, beam, **how))
    if output == "text":
        for reading in readings:
            if reading.error is None:
                click.echo(f"{on_one_line(str(reading.key))}\t{on_one_line(reading.text)}\t{reading.confidence:.4f}")
    else:
        from lmim_kedro.reading.files import write_text

        write_text(readings, sys.stdout, output)
    raise click.exceptions.Exit(1 if readings.failed else 0)


class _Errors:
    """Readings that pass by; each error is printed on stderr and counted."""

    def __init__(self, readings: "Iterator[Reading]") -> None:
        self.readings, self.failed = readings, 0

    def __iter__(self) -> "Iterator[Reading]":
        for reading in self.readings:
            if reading.error is not None:
                self.failed += 1
                click.echo(f"{on_one_line(str(reading.key))}: {on_one_line(reading.error)}", err=True)
            yield reading


def _crops_of(image: Path, layout: str | None, allow_outside: bool) -> "Iterator[NamedCrop]":
    """Keys of a folder or a list begin with the folder that its files lie below, so that each names a file."""
    from lmim_kedro.crops.sources.image_files import IMAGE_SUFFIXES
    from lmim_kedro.crops.sources.open import open_images
    from lmim_kedro.crops.sources.stream import crops_of, crops_of_source, is_set

    if not is_set(image) and (layout is None or image.suffix.lower() in IMAGE_SUFFIXES):
        return ((_utf8(str(image)), crop) for _, crop in crops_of(image))
    source = open_images(image, layout, allow_outside)
    if source.passed_over:
        click.echo(on_lines(f"{image}: {source.passed_over}"), err=True)
    start = source.root or image
    return ((_utf8(str(start / str(key))), crop) for key, crop in crops_of_source(source))


def _utf8(path: str) -> str:
    """Names of files need not be UTF-8, as all output is: other bytes are written as `\\xe9`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
