"""The one error that a user's input can raise."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is a sentence to act on: what was found, where, what was expected, what to do.
    The command line prints it alone, without a traceback.
    """


def did_you_mean(name: object, names: Iterable[str], prefix: str = "") -> str:
    """Suggest the known name that is closest, with `prefix` before it; empty where none is close.

    Example:
        >>> did_you_mean("mask_ration", ["mask_ratio", "seed"])
        ' (did you mean `mask_ratio`?)'
    """
    close = get_close_matches(str(name), list(names), n=1)
    return f" (did you mean `{prefix}{close[0]}`?)" if close else ""
