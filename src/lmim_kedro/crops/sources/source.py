"""What every source of crops gives: raw crops, read by ranges of their position."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
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
    """What a source reads from: a layout on disk, or a renderer. Picklable, so that ranges can go to processes.

    `identity` changes with what is listed and where it is looked for: a prepared shard with the same identity need not
    be made again, unless a crop of it that could not be read is `readable` by now. It holds no path of this machine and
    no date, so that it is the same on every one. Image files that are replaced under their names do not change it.

    A reader may also have `only(start, stop)`, a smaller reader of that range; `readable(keys)`, whether one of these
    crops, which could not be read, can be by now; and `root`, the folder that the keys of image files start from.
    """

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

    @property
    def identity(self) -> str:
        """What its crops depend on."""
        ...

    def __len__(self) -> int:
        """How many crops are listed, readable or not."""
        ...

    def read(self, start: int, stop: int) -> Iterator[RawCrop]:
        """Yield crops `start` to `stop` (exclusive) in order, one for each position, whatever is wrong with it."""
        ...


@dataclass(frozen=True)
class Layout:
    """A way in which crops lie on disk: an entry of registries.LAYOUTS.

    Attributes:
        name: what `format` calls it in the catalog.
        open: opens it, with the options by name: `open(path=..., images=...)`; `images` is None where none is given.
        looks_like: whether a path is of this layout. A layout with suffixes is asked about files, one without about
            folders too, in the order of the table. It may raise InputError to say what to do with a file.
        suffixes: of a list's file name, looked for in the folder that the user named. (): the layout is the folder.
        surely: whether a file found in a folder, which looks like this layout, is no README.txt.
        options: names of what the catalog may say; without "path", the crops are not on disk.
    """

    name: str
    open: Callable[..., CropReader]
    looks_like: Callable[[Path], bool] = lambda path: False
    suffixes: tuple[str, ...] = ()
    surely: Callable[[Path], bool] = lambda path: True
    options: tuple[str, ...] = ("path", "images")


class Source(CropReader, Protocol):
    """A reader under the name that the catalog gives it."""

    @property
    def name(self) -> str:
        """What the catalog, the manifest and the tables call it."""
        ...

    def readable(self, keys: Sequence[str]) -> bool:
        """Whether any of these crops, which were listed and could not be read, can be by now."""
        ...

    def only(self, start: int, stop: int) -> Source:
        """Return a source that is as small as possible to pickle and can still read `start` to `stop`."""
        ...
