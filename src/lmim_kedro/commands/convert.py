"""Checkpoints from and to the released code."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lmim_kedro.errors import InputError
from lmim_kedro.models.released import export_folder, import_file, inspect


def main() -> int:
    """The command line; 0, or 2 with a sentence where a file cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m lmim_kedro.models.convert", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, arguments in (("inspect", ["file"]), ("import", ["file", "folder"]), ("export", ["folder", "file"])):
        command = commands.add_parser(name)
        for argument in arguments:
            command.add_argument(argument, type=Path)
        if name != "export":
            command.add_argument("--heads", type=int, help="attention heads of the encoder, if not 64 features each")
        if name == "import":
            command.add_argument("--encoder", action="store_true", help="of a recognizer, the encoder only")
            command.add_argument("--charset", default="english_94", help="of a recognizer")
            command.add_argument("--max-length", type=int, default=25, help="of a recognizer; 40 for Chinese")
    given = parser.parse_args()
    try:
        if given.command == "inspect":
            print(inspect(given.file, given.heads))
        elif given.command == "import":
            print(import_file(given.file, given.folder, given.charset, given.max_length, given.heads, given.encoder))
        else:
            print(export_folder(given.folder, given.file))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
