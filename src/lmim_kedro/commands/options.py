"""Options that several commands take, and the reader that one of them chooses."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json
from lmim_kedro.models.folder import model_folder
from lmim_kedro.reading.folder import MODELS, newest_recognizer, require_recognizer
from lmim_kedro.registries import LAYOUTS, METRICS
from lmim_kedro.text.marks import on_lines

if TYPE_CHECKING:
    from lmim_kedro.reading.image_reader import ImageReader

NEWEST = "newest"


def _known(ctx: click.Context, option: click.Parameter, name: str) -> str:
    """Check the name of a metric without importing it."""
    if name not in METRICS:
        raise click.BadParameter(f"{name!r} is none of {', '.join(METRICS)}.")
    return name


metric_option = click.option("--metric", default="waics", show_default=True, callback=_known, help="Name of a metric.")


def _known_layout(ctx: click.Context, option: click.Parameter, name: str | None) -> str | None:
    """Check the name of a layout without importing it."""
    if name is not None and name not in LAYOUTS:
        raise click.BadParameter(f"{name!r} is none of {', '.join(LAYOUTS)}.")
    return name


def layout_options(*names: str) -> Callable[[Any], Any]:
    """The option that names the layout of crops, under one or several names."""
    return click.option(
        *names,
        "layout",
        metavar="NAME",
        callback=_known_layout,
        help="Layout of folders, lists and archives (docs/data.md): list, csv, trdg ...  [default: detected]",
    )


layout_option = layout_options("--layout")
outside_option = click.option(
    "--allow-outside", is_flag=True, help="Read also what paths of a list, or links, lead to outside its folder."
)
recognizer_option = click.option(
    "--recognizer",
    "--model",  # the name before there was a ready reader
    "recognizer",
    metavar="FOLDER",
    help=f"Folder of a recognizer, or of one that `export-onnx` wrote, also as hf://owner/name[@revision][/folder]; "
    f"{NEWEST}: the newest of {MODELS}.  "
    "[default: the ready reader, which comes with the package]",
)


_ALLOWED = (
    click.option(
        "--charset",
        metavar="CHARACTERS",
        help="Characters that may be read: digits, letters, a file, or the characters themselves.",
    ),
    click.option("--lexicon", metavar="FILE", help="Words of which each reading is one, a word a line."),
    click.option("--pattern", metavar="REGEX", help="Regular expression that each reading matches as a whole."),
    click.option(
        "--min-confidence",
        default=0.0,
        show_default=True,
        type=click.FloatRange(0, 1),
        help="Least confidence; a reading of less is an error.",
    ),
)


def allowed_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --charset, --lexicon, --pattern and --min-confidence to a command."""
    for option in reversed(_ALLOWED):
        command = option(command)
    return command


def chosen_folder(named: str | None) -> Path | None:
    """The folder that --recognizer names; None for the ready reader.

    Errors: InputError if there is no recognizer yet that is the newest.
    """
    if named != NEWEST:
        return None if named is None else model_folder(named)
    newest = newest_recognizer()
    if newest is None:
        raise InputError(
            f"there is no recognizer at {MODELS}: make one with `kedro run`, or leave --recognizer out, and "
            "the ready reader reads"
        )
    return newest


def chosen_reader(named: str | None) -> "ImageReader":
    """The reader that --recognizer names, and a line on stderr: which it is, when and of what it was made, its scores.

    A newer recognizer is never taken by itself: without --recognizer, the ready reader reads. Where `newest` or the
    ready reader was chosen and another recognizer scored better on the same crops, the line says so.

    Torch is not imported for a reader that ONNX Runtime runs, nor before a wrong folder is an error.

    Args:
        named: a folder, `newest`, or None for the ready reader.

    Errors: InputError if there is no recognizer in the folder, or none yet that is the newest.
    """
    folder = chosen_folder(named)
    if folder is None:
        return _ready_reader()
    from lmim_kedro.reading.onnx_reader import KIND, OnnxReader

    onnx = read_json(folder / "config.json").get("kind") == KIND
    if not onnx:
        require_recognizer(folder)
    _say(folder, str(folder), better=named == NEWEST)
    if onnx:
        return OnnxReader(folder)
    from lmim_kedro.reading.reader import Reader

    return Reader.load(folder)


def _ready_reader() -> "ImageReader":
    newest = newest_recognizer()
    other = f"--recognizer={newest or 'FOLDER'} reads with {'the newest' if newest else 'one'} of yours"
    if find_spec("onnxruntime"):
        from lmim_kedro.reading.onnx_reader import OnnxReader

        _say(None, "the ready reader", True, other)
        return OnnxReader()
    slow = "it reads in torch, which takes seconds to start; `pip install onnxruntime` makes it fast"
    _say(None, "the ready reader", True, slow, other)
    from lmim_kedro.reading.reader import Reader

    return Reader.load()


def _say(folder: Path | None, name: str, better: bool, *more: str) -> None:
    """Say on stderr, in one line, which recognizer reads, and what else there is to say."""
    from lmim_kedro.reading.about import about_in_words, better_in_words

    other = better_in_words(folder) if better else None
    words = [f"reading with {name} ({about_in_words(folder)})", *more, *([] if other is None else [other])]
    click.echo(on_lines("; ".join(words)), err=True)
