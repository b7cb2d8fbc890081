"""Which characters a recognizer can write, and labels as symbol indices."""

import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from lmim_kedro.errors import InputError
from lmim_kedro.files import read_text
from lmim_kedro.text.marks import MARKS, shown, strip_marks

SPECIAL = ("end", "padding", "unknown")  # symbols after the characters, in the released order
BUILT_IN = ("english_94", "english_36", "chinese_7934")
FROM_LABELS, FROM_START = FOUND = "from_labels", "from_start"
"""Charsets that a run finds: in the labels, or in the recognizer that it starts from."""


@dataclass(frozen=True)
class Charset:
    """Characters in a fixed order, then the end, padding and unknown symbols.

    Attributes:
        characters: one string, each character once.
        fold_case: labels are lower-cased first, for charsets without upper case.
    """

    characters: str
    fold_case: bool = False
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if twice := [character for character, times in Counter(self.characters).items() if times > 1]:
            raise InputError(f"the charset holds {twice[:5]} more than once: each character may occur once")
        index = {character: place for place, character in enumerate(self.characters)}
        object.__setattr__(self, "_index", index)  # the class is frozen

    @classmethod
    def named(cls, name: str) -> "Charset":
        """A built-in charset, or the characters of a UTF-8 file (line breaks do not count).

        english_94 is the charset of the released code: printable ASCII without space, in Python's order. english_36
        has digits and lower case, for the case-insensitive metric.

        Example:
            >>> Charset.named("english_36").indices("Ab1")
            [10, 11, 1]
        """
        if name == "english_94":
            return cls(string.printable[:94])
        if name == "english_36":
            return cls(string.printable[:36], fold_case=True)
        if name == "chinese_7934":
            text = files("lmim_kedro.text").joinpath("charsets/chinese_7934.txt").read_text("utf-8")
            return cls(text.strip("\n"))
        path = Path(name)
        if not path.is_file():
            raise InputError(
                f"charset {name!r} is neither a built-in one ({', '.join(BUILT_IN)}) nor a file: "
                "give one of these names or the path of a UTF-8 file with all characters"
            )
        text = read_text(path).replace("\n", "")
        if not text:
            raise InputError(f"charset file {path} is empty: write every character that labels use into it")
        return cls(text)

    @classmethod
    def from_labels(cls, labels: Iterable[str], longest: int) -> "Charset":
        """The sorted characters of the labels that can be learned, but for marks that nobody sees (`marks.MARKS`).

        Args:
            labels: labels as the data has them.
            longest: characters of the longest usable label; the characters of longer ones do not count.

        Example:
            >>> Charset.from_labels(["cab", "a", "toolong"], longest=3).characters
            'abc'
        """
        found = {character for label in labels if len(label) <= longest for character in strip_marks(label)}
        return cls("".join(sorted(found.difference(MARKS))))

    def __len__(self) -> int:
        return len(self.characters)

    def sentence(self) -> str:
        """The charset in words."""
        case = ", case folded" if self.fold_case else ""
        return f"{len(self):,} characters{case}: {_some(dict.fromkeys(self.characters), 100)}"

    @property
    def classes(self) -> int:
        """Symbols the recognizer tells apart: 97 for english_94, 7,937 for chinese_7934."""
        return len(self.characters) + len(SPECIAL)

    @property
    def end(self) -> int:
        """The symbol that ends a word."""
        return len(self.characters)

    @property
    def padding(self) -> int:
        """The symbol that fills the places after the end; the loss leaves it out."""
        return len(self.characters) + 1

    @property
    def unknown(self) -> int:
        """The symbol that replaces characters outside the charset."""
        return len(self.characters) + 2

    def fold(self, label: str) -> str:
        """The label as this charset writes it: lower-cased where it has no upper case."""
        return label.lower() if self.fold_case else label

    def indices(self, label: str) -> list[int]:
        """Index of each character; a character outside the charset is the unknown symbol."""
        return [self._index.get(character, self.unknown) for character in self.fold(label)]

    def text(self, indices: Iterable[int]) -> str:
        """Characters up to the first end symbol; padding and unknown symbols write nothing.

        Example:
            >>> charset = Charset("abc")
            >>> charset.text([2, 0, 1, charset.end, 0])
            'cab'
        """
        written = takewhile(lambda index: index != self.end, indices)
        return "".join(self.characters[index] for index in written if index < len(self.characters))

    def change(self, other: "Charset") -> str:
        """Say what becomes of the characters where this charset is changed for another.

        Upper case stays where this charset has folded it.

        Example:
            >>> Charset("abc").change(Charset("cbé"))
            '3 characters become 3: 2 stay, 1 new (é), 1 gone (a)'
        """
        here, there = set(self.characters), set(other.characters)
        new = {character for character in there if self.fold(character) not in here}
        text = f"{len(self):,} characters become {len(other):,}: {len(there - new):,} stay"
        for what, characters in (("new", new), ("gone", here - set(map(self.fold, there)))):
            text += f", {len(characters):,} {what} ({_some(characters)})" if characters else f", none {what}"
        return text

    def difference(self, other: "Charset") -> str:
        """A sentence on how another charset differs from this one; empty where it does not."""
        if self == other:
            return ""
        here, there = set(self.characters), set(other.characters)
        only = {"there": there - here, "here": here - there}
        parts = [f"only {where}: {_some(characters)}" for where, characters in only.items() if characters]
        parts = parts or ["the same characters in another order, or with case folded"]
        return "; ".join([f"{len(self)} characters here, {len(other)} there", *parts])


@dataclass(frozen=True)
class LabelCheck:
    """Which labels can be trained on, and what is wrong with the others."""

    usable: np.ndarray  # int64 positions in the list that was checked
    empty: int
    too_long: int
    unknown: Counter[str]

    def sentence(self) -> str:
        """The check in words."""
        usable, total = len(self.usable), len(self.usable) + self.empty + self.too_long
        text = f"{usable:,} of {total:,} labels are usable; {self.empty:,} empty, {self.too_long:,} too long"
        if self.unknown:
            frequent = _some(dict(self.unknown.most_common(10)))
            text += f"; {self.unknown.total():,} characters outside the charset: {frequent}"
        return text

    def facts(self) -> dict[str, Any]:
        """The same as plain values, with the counts of the 100 most frequent unknown characters."""
        counts: dict[str, Any] = {"usable": len(self.usable), "empty": self.empty, "too_long": self.too_long}
        return counts | {"unknown": dict(self.unknown.most_common(100))}


def check_labels(labels: Sequence[str], charset: Charset, max_length: int, columns: int | None) -> LabelCheck:
    """Sort out labels that cannot be learned; no label is changed.

    Args:
        labels: labels as the data has them.
        charset: what the recognizer can write.
        max_length: longest usable label, characters; the released code drops one more than it has to.
        columns: columns of a CTC recognizer, which leaves unknown characters out of a label and needs a column for each
            other one, and a blank column between two that are equal. None: an autoregressive recognizer, for which an
            unknown character is a symbol of its own.

    Example:
        >>> check_labels(["cat", "", "tree"], Charset("acert"), max_length=3, columns=None).sentence()
        '1 of 3 labels are usable; 1 empty, 1 too long'
    """
    usable, empty, too_long, unknown = [], 0, 0, Counter[str]()
    for position, label in enumerate(labels):
        indices = charset.indices(label)
        written = zip(charset.fold(label), indices, strict=True)
        unknown.update(character for character, index in written if index == charset.unknown)
        fits = True
        if columns is not None:
            indices = [index for index in indices if index != charset.unknown]
            fits = len(indices) + sum(one == other for one, other in pairwise(indices)) <= columns
        if not indices:
            empty += 1
        elif len(indices) > max_length or not fits:
            too_long += 1
        else:
            usable.append(position)
    return LabelCheck(np.array(usable, dtype=np.int64), empty, too_long, unknown)


def _some(characters: Iterable[str], limit: int = 10) -> str:
    listed = list(characters) if isinstance(characters, dict) else sorted(characters)
    return " ".join(map(shown, listed[:limit])) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
