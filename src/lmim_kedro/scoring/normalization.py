"""Text in the form in which each metric compares it."""

import re
from functools import cache
from typing import Any

from lmim_kedro.errors import InputError

_OTHERS = re.compile(r"[^0-9A-Za-z]+")
_HALF_WIDTH = {0x3000: 0x20} | {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}


class NotInstalled(InputError):
    """A package that this form of text needs is not installed."""


def letters_and_digits(text: str) -> str:
    """Keep only 0-9, A-Z and a-z, case and all.

    Example:
        >>> letters_and_digits("St. John's")
        'StJohns'
    """
    return text if text.isascii() and text.isalnum() else _OTHERS.sub("", text)


def waics(text: str) -> str:
    """Keep only 0-9, A-Z and a-z, in lower case: word accuracy ignoring case and symbols.

    Example:
        >>> waics("It's")
        'its'
    """
    return letters_and_digits(text).lower()


def chinese(text: str) -> str:
    """Half-width forms, lower case, simplified characters; symbols and spaces are kept.

    U+3000 becomes a space, U+FF01 to U+FF5E the ASCII character 65,248 below; then lower case; then traditional to
    simplified by zhconv's zh-cn table.

    Errors: NotInstalled for a text that is not ASCII where zhconv, the extra `chinese`, is missing.

    Example:
        >>> chinese("\uff28\uff29!")
        'hi!'
    """
    lower = text.translate(_HALF_WIDTH).lower()
    return lower if lower.isascii() else _zhconv().convert(lower, "zh-cn")


@cache
def _zhconv() -> Any:
    """Zhconv with its table read, which takes a third of a second: only whoever compares Chinese pays it."""
    import warnings

    with warnings.catch_warnings():
        # It asks setuptools for its table where it can, which setuptools comments on; and never closes the file.
        warnings.simplefilter("ignore")
        try:
            import zhconv
        except ImportError as error:
            raise NotInstalled(
                "Chinese texts are compared in simplified characters, which needs zhconv: install it with "
                "`pip install -e '.[chinese]'`"
            ) from error
        zhconv.convert("", "zh-cn")
    return zhconv
