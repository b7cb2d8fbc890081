"""Characters that nobody sees: taken off the ends of labels, and written as what they are wherever text is shown."""

import logging

MARKS = "\u200b\u200e\u200f\u2060\ufeff"
"""Marks without a width and without a meaning at the end of a word: zero-width space, directions, word joiner and
byte-order mark. Joiners (U+200C, U+200D) are left alone: they change how Persian and Indic words are written."""
_ENDS = MARKS + "\r\n"
_ESCAPES = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}
_DIRECTIONS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
"""Characters that turn the direction of what follows, and so can show another text than there is."""


def strip_marks(label: str) -> str:
    """A label without line ends and invisible marks at its ends; spaces stay.

    Example:
        >>> strip_marks("\\ufeffdoor \\u200b\\r\\n")
        'door '
    """
    return label.strip(_ENDS)


def is_shown(character: str) -> bool:
    """Whether a character can be seen, or is a space."""
    return character.isprintable()


def shown(character: str) -> str:
    """A character as it is, or its code point where it cannot be seen.

    Example:
        >>> shown("a"), shown("\\u200b")
        ('a', 'U+200B')
    """
    return character if is_shown(character) else f"U+{ord(character):04X}"


def on_lines(text: object) -> str:
    r"""Lines for a terminal or a log, in which no text of a user's moves the cursor, recolors or turns what follows.

    Line ends and tabs stay: text that is to have none goes through `on_one_line`.

    Example:
        >>> on_lines("a.png:\n\x1b[2J\u202egnp.b")
        'a.png:\n\\x1b[2JU+202Egnp.b'
    """
    return "".join(character if character in "\t\n" else _escaped(character) for character in str(text))


class _OnLines(logging.Filter):
    """Changes what records say to what `on_lines` shows."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = on_lines(record.getMessage()), ()
        return True


_FILTER = _OnLines()


def show_controls() -> None:
    """Let every line that is logged from now on be shown as `on_lines` shows it.

    Kedro takes no formatter or filter of a project's from logging.yml, so that it is added to the handlers there are.
    """
    for handler in (*logging.getLogger().handlers, logging.lastResort):
        if handler is not None:
            handler.addFilter(_FILTER)


def on_one_line(text: str) -> str:
    r"""Text in which no character breaks a line or a column, or turns it; bytes that are no UTF-8 are shown as `\xe9`.

    Example:
        >>> on_one_line("a\tb\udce9.png")
        'a\\tb\\xe9.png'
    """
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a file's name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if character in "\t\n\r":
        return _ESCAPES[character]
    if code < 0x20 or 0x7F <= code < 0xA0:
        return f"\\x{code:02x}"
    if code in _DIRECTIONS:
        return f"U+{code:04X}"
    breaks = 0xD800 <= code <= 0xDFFF or code in (0x2028, 0x2029)
    return f"\\u{code:04x}" if breaks else character
