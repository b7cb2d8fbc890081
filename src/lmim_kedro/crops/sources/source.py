"""What every source of crops gives: raw crops, read by ranges of their position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RawCrop:
    """One crop as it lies on disk.

    Attributes:
        key: its name within the source: an LMDB key, a path relative to the images' folder, "line 17".
        data: the encoded image; None if there is none to read, and then `reason` says why.
        label: its text; None if there is none.
        reason: why `data` is missing or, where `data` is there, why `label` is.
    """

    key: str
    data: bytes | None
    label: str | None = None
    reason: str | None = None


class CropReader(Protocol):
    """What a source reads from: a layout on disk, or a renderer. Picklable, so that ranges can go to processes."""

    @property
    def format(self) -> str:
        """The layout's name."""
        ...

    @property
    def description(self) -> str:
        """One sentence: what was found where."""
        ...

    @property
    def labeled(self) -> bool:
        """Whether crops come with labels."""
        ...

    def __len__(self) -> int:
        """How many crops are listed, readable or not."""
        ...

    def read(self, start: int, stop: int) -> Iterator[RawCrop]:
        """Yield crops `start` to `stop` (exclusive) in order, one for each position, whatever is wrong with it."""
        ...


class Source(CropReader, Protocol):
    """A reader under the name that the catalog gives it.

    `identity` changes with what is listed and where it is looked for: a prepared shard with the same identity need not
    be made again, unless a crop of it that could not be read is `readable` by now. It holds no path of this machine and
    no date, so that it is the same on every one. Image files that are replaced under their names do not change it.
    """

    @property
    def name(self) -> str:
        """What the catalog, the manifest and the tables call it."""
        ...

    @property
    def identity(self) -> str:
        """What its crops depend on."""
        ...

    def readable(self, keys: Sequence[str]) -> bool:
        """Whether any of these crops, which were listed and could not be read, can be by now."""
        ...

    def only(self, start: int, stop: int) -> Source:
        """Return a source that is as small as possible to pickle and can still read `start` to `stop`."""
        ...
