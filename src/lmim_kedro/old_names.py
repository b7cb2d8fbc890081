"""The spellings `python -m lmim_kedro...` of earlier versions, which still work in this one."""

import sys
from importlib import import_module
from typing import Any


def call(old: str, new: str) -> Any:
    """Run a command under its old name, and say its new one.

    Args:
        old: the module that was run.
        new: the command of `lmim-kedro`.
    """
    arguments = sys.argv[1:]
    if old == "lmim_kedro.onnx_runner" and arguments and not arguments[0].startswith("-"):
        folder, *images = arguments
        arguments = ["--recognizer", folder, *images]
    print(f"`python -m {old}` is now `lmim-kedro {new}`", file=sys.stderr)
    return import_module("lmim_kedro.__main__").main([new, *arguments])
