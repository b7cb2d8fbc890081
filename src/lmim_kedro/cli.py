"""The command line, `lmim-kedro VERB`: a table of commands, each imported when it is called.

Kedro finds the group `cli` here, so `kedro run` is the `run` of this table.
"""

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

import click

from lmim_kedro import __version__
from lmim_kedro.errors import InputError, sentence_of
from lmim_kedro.text.marks import on_lines, show_controls

COMMANDS = {
    "run": "Run a pipeline, or all stages: the options are those of `kedro run`.",
    "read": "Read the word in images, folders of images or LMDBs.",
    "inspect": "Show what would be read of a folder, list or archive of crops.",
    "serve": "Serve a web page that reads the crops dropped on it.",
    "score": "Score files of predictions.",
    "compare": "Compare the predictions of two recognizers crop by crop.",
    "verify": "Compare the model with what the released code computes.",
    "verify-store": "Compare the files of a packed store with their hashes.",
    "convert": "Inspect, import and export checkpoints of the released code.",
    "export-onnx": "Write a recognizer as ONNX.",
    "export-lmdb": "Write crops as one LMDB for other tools.",
}
"""Every command, with its line in `--help`: "export-onnx" is `export_onnx` in commands/export_onnx.py."""

MISTAKE = 2
"""The exit status of every mistake of a user's."""


class Commands(click.Group):
    """The commands of COMMANDS. Options without the name of a command are options of `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before arguments that begin with an option other than --help and --version."""
        first = args[0] if args else ""
        if not first or (first.startswith("-") and first not in (*ctx.help_option_names, "--version")):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command. What it raises as an InputError ends the program with that sentence."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"lmim_kedro.commands.{name}"), name)
        each = command.commands.values() if isinstance(command, click.Group) else [command]
        for one in each:
            if one.callback is not None and not hasattr(one.callback, "__wrapped__"):
                one.callback = ending_in_a_sentence(one.callback)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def ending_in_a_sentence(work: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the work of a command: an InputError is printed alone, and the exit status is MISTAKE.

    So is an error of the machine that the user has to settle, such as a full disk (`errors.sentence_of`).

    Example:
        >>> def work():
        ...     raise InputError("there is nothing at photos: check the path")
        >>> ending_in_a_sentence(work)()
        Traceback (most recent call last):
        click.exceptions.Exit: 2
    """

    @wraps(work)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        show_controls()
        try:
            return work(*arguments, **options)
        except (InputError, OSError) as error:
            if (sentence := sentence_of(error)) is None:
                raise
            click.secho(on_lines(sentence), fg="red", err=True)
            raise click.exceptions.Exit(MISTAKE) from None

    return wrapped


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, name="lmim-kedro")
@click.version_option(__version__, prog_name="lmim-kedro")
def cli() -> None:
    """Self-supervised scene text recognition: LMIM as a Kedro project. Without a command: `run`."""
