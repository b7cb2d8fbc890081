"""The one error that a user's input can raise."""

import errno
from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is a sentence to act on: what was found, where, what was expected, what to do.
    The command line prints it alone, without a traceback.
    """


_OF_THE_MACHINE = {
    getattr(errno, name)
    for name in ("EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EFBIG", "EEXIST", "ENOTDIR", "EISDIR", "ENAMETOOLONG")
    if hasattr(errno, name)
}
"""What a user has to settle with the machine: rights, room, and a file where a folder has to be."""


def sentence_of(error: BaseException | None) -> InputError | None:
    """The InputError that an exception is, or was raised from; one for a disk that cannot be written to; else None.

    Kedro wraps what datasets raise.

    Example:
        >>> print(sentence_of(OSError(errno.EROFS, "Read-only file system", "data/a.json")))
        data/a.json cannot be written or read (read-only file system): check the rights, the room and the path
    """
    while error is not None:
        if isinstance(error, InputError):
            return error
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            place, reason = error.filename or "a file", (error.strerror or str(error)).lower()
            return InputError(f"{place} cannot be written or read ({reason}): check the rights, the room and the path")
        error = error.__cause__
    return None


def did_you_mean(name: object, names: Iterable[str], prefix: str = "") -> str:
    """Suggest the known name that is closest, with `prefix` before it; empty where none is close.

    Example:
        >>> did_you_mean("mask_ration", ["mask_ratio", "seed"])
        ' (did you mean `mask_ratio`?)'
    """
    close = get_close_matches(str(name), list(names), n=1)
    return f" (did you mean `{prefix}{close[0]}`?)" if close else ""
