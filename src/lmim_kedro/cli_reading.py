"""`lmim-kedro read` and `lmim-kedro serve`: a recognizer at work, without a Kedro run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmim_kedro.errors import InputError

if TYPE_CHECKING:
    from lmim_kedro.crops.sources.stream import NamedCrop
    from lmim_kedro.reading.reader import Reader
    from lmim_kedro.text.spelling import Reading

MODELS = "data/06_models/*/*/*/recognizer"
"""Where a run leaves recognizers: variant, environment, seed."""

model_option = click.option(
    "--model", type=click.Path(path_type=Path), help=f"A recognizer's folder.  [default: the newest of {MODELS}]"
)


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE_OR_FOLDER...", type=click.Path(path_type=Path))
@model_option
@click.option("--format", "layout", type=click.Choice(["text", "csv", "jsonl"]), default="text", show_default=True)
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(1), help="Crops read at once.")
@click.option("--beam", default=1, show_default=True, type=click.IntRange(1), help="Hypotheses; 1: greedy.")
def read(images: tuple[Path, ...], model: Path | None, layout: str, batch_size: int, beam: int) -> None:
    """Read the word in each image, or in all below a folder, or in an LMDB.

    As text: path, word and confidence, separated by tabs. What cannot be read is told on stderr, and ends in status 1.
    """

    def work() -> int:
        readings = _Told(_readings(_load(model), images, batch_size, beam))
        if layout == "text":
            for reading in readings:
                if reading.error is None:
                    click.echo(f"{reading.key}\t{reading.text}\t{reading.confidence:.4f}")
        else:
            from lmim_kedro.reading.files import write_text

            write_text(readings, sys.stdout, layout)
        return 1 if readings.failed else 0

    _end(work)


@click.command()
@model_option
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0: whoever reaches this machine.")
@click.option("--port", default=8000, show_default=True, type=int)
def serve(model: Path | None, host: str, port: int) -> None:
    """A web page to drop crops on; needs `pip install '.[web]'`."""

    def work() -> int:
        try:
            import uvicorn

            from lmim_kedro.reading.web import create_app
        except ImportError as error:
            raise InputError(f"the page needs {error.name}: install it with `pip install '.[web]'`") from error
        app = create_app(_load(model))
        click.echo(f"open http://{host}:{port} - Ctrl-C ends", err=True)
        uvicorn.run(app, host=host, port=port, log_level="warning")
        return 0

    _end(work)


def newest_recognizer() -> Path:
    """The recognizer below the working folder that was written last. Errors: InputError if there is none."""
    found = [path for path in Path().glob(MODELS) if (path / "config.json").is_file()]
    if not found:
        raise InputError(f"there is no recognizer at {MODELS}: name one with --model, or make one with `kedro run`")
    return max(found, key=lambda path: (path / "config.json").stat().st_mtime)


class _Told:
    """Readings that pass by; each error is told on stderr."""

    def __init__(self, readings: Iterator[Reading]) -> None:
        self.readings, self.failed = readings, 0

    def __iter__(self) -> Iterator[Reading]:
        for reading in self.readings:
            if reading.error is not None:
                self.failed += 1
                click.echo(f"{reading.key}: {reading.error}", err=True)
            yield reading


def _load(model: Path | None) -> Reader:
    from lmim_kedro.reading.reader import Reader

    if model is None:
        model = newest_recognizer()
        click.echo(f"reading with {model}", err=True)
    return Reader.load(model)


def _readings(reader: Reader, images: tuple[Path, ...], batch_size: int, beam: int) -> Iterator[Reading]:
    return reader.read_named(chain.from_iterable(map(_crops_of, images)), batch_size, beam)


def _crops_of(image: Path) -> Iterator[NamedCrop]:
    """Keys of a folder or a list begin with the folder that its files lie below, so that each names a file."""
    from lmim_kedro.crops.sources.open import open_source
    from lmim_kedro.crops.sources.stream import crops_of, crops_of_source, is_set

    if not is_set(image):
        return ((_printable(str(image)), crop) for _, crop in crops_of(image))
    source = open_source(str(image), {"path": str(image)})
    start = source.root or image
    return ((_printable(str(start / str(key))), crop) for key, crop in crops_of_source(source))


def _printable(path: str) -> str:
    """Names of files need not be UTF-8: other bytes are shown as `\\xe9`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _end(work: Callable[[], Any]) -> None:
    try:
        status = work()
    except InputError as error:
        click.secho(str(error), fg="red", err=True)
        status = 1
    raise click.exceptions.Exit(status)
