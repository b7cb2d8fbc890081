"""What every source of crops gives: raw crops, read by ranges of their position."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from lmim_kedro.text.marks import strip_marks


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

    def label_fault(self, labeled: bool) -> str | None:
        """Why a crop of a source whose crops are `labeled` cannot be used without this label; None if it can."""
        if not labeled or self.label:
            return None
        return "no label" if self.label is None else "empty label"


class CropReader(Protocol):
    """What a source reads from: a layout on disk, or a renderer. Picklable, so that ranges can go to processes.

    A reader may also have `only(start, stop)`, a smaller reader of that range; `labels(start, stop)`, the labels of a
    range without its images; `readable(keys)`, whether one of these crops, which could not be read, can be by now;
    `root`, the folder that the keys of image files start from; `passed_over`, an image_files.PassedOver; and
    `max_bytes`, the size of the largest image that it reads, as a field.

    Attributes:
        format: name of the layout.
        description: one sentence: what was found where.
        labeled: whether crops come with labels.
        identity: changes with what is listed and where it is looked for. A prepared shard with the same identity need
            not be made again, unless a crop of it that could not be read is `readable` by now. It holds no path of this
            machine and no date. Image files that are replaced under their names do not change it.
    """

    format: str
    description: str
    labeled: bool
    identity: str

    def __len__(self) -> int:
        """How many crops are listed, readable or not."""

    def read(self, start: int, stop: int) -> Iterator[RawCrop]:
        """Yield crops `start` to `stop` (exclusive) in order, one for each position, whatever is wrong with it."""


@dataclass(frozen=True)
class Layout:
    """A way in which crops lie on disk: an entry of registries.LAYOUTS.

    Attributes:
        name: what `format` calls it in the catalog.
        open: opens it, with the options by name: `open(path=..., images=...)`; `images` is None where none is given.
        looks_like: whether a path is of this layout. A layout with suffixes is asked about files, one without about
            folders too, in the order of the table. It may raise InputError to say what to do with a file.
        suffixes: suffixes of list files, looked for in a folder that the user named. (): the layout is the folder.
        surely: whether a file of these suffixes, found in a folder, is a list and not a README.txt.
        options: names of the options in the catalog; without "path", the crops are not on disk.
        sign: what it is recognized by, in words.
        holds_images: suffixes of files that hold the images themselves, such as ".tar".
        in_archives: whether it can be inside a zip archive; `open` and `looks_like` then get an archives.ZipPath.
        bounded: whether `open` takes `budget`, an image_files.Budget, after which it stops to list.
    """

    name: str
    open: Callable[..., CropReader]
    looks_like: Callable[[Any], bool] = lambda path: False
    suffixes: tuple[str, ...] = ()
    surely: Callable[[Any], bool] = lambda path: True
    options: tuple[str, ...] = ("path", "images")
    sign: str = "its own sign"
    holds_images: tuple[str, ...] = ()
    in_archives: bool = False
    bounded: bool = False


@dataclass(frozen=True)
class Source:
    """A reader under its catalog name, its labels left out where the catalog says so.

    `notes` says what lies beside what was found and is not read.
    """

    name: str
    reader: CropReader
    use_labels: bool = True
    notes: str = ""

    def __len__(self) -> int:
        return len(self.reader)

    @property
    def format(self) -> str:
        """The layout's name."""
        return self.reader.format

    @property
    def identity(self) -> str:
        """What its crops depend on."""
        return self.reader.identity

    @property
    def root(self) -> Any:
        """The folder that the keys of image files start from, or an archives.ZipPath; None where keys name no files."""
        return getattr(self.reader, "root", None)

    @property
    def labeled(self) -> bool:
        """Whether its crops come with labels."""
        return self.reader.labeled and self.use_labels

    @property
    def description(self) -> str:
        """One sentence: what was found where."""
        unused = self.reader.labeled and not self.use_labels
        text = self.reader.description + (" (labels not used)" if unused else "")
        return f"{text}; {self.notes}" if self.notes else text

    @property
    def passed_over(self) -> str:
        """What was found and is not read, in words; empty where there is nothing."""
        return "; ".join(filter(None, (str(getattr(self.reader, "passed_over", "")), self.notes)))

    def only(self, start: int, stop: int) -> "Source":
        """Return this source for the positions `start` to `stop` alone, small enough to send to a process."""
        narrow = getattr(self.reader, "only", None)
        return replace(self, reader=narrow(start, stop)) if narrow else self

    def limited(self, max_bytes: int) -> "Source":
        """Return this source without images of more bytes: they keep their places, with the reason."""
        known = hasattr(self.reader, "max_bytes")
        return replace(self, reader=replace(self.reader, max_bytes=max_bytes)) if known else self  # type: ignore[type-var]

    def readable(self, keys: Sequence[str]) -> bool:
        """Whether any of these crops, which were listed and could not be read, can be by now."""
        again = getattr(self.reader, "readable", None)
        return bool(again and again(keys))

    def read(self, start: int, stop: int) -> Iterator[RawCrop]:
        """Yield crops `start` to `stop` (exclusive), one for each position."""
        for crop in self.reader.read(start, stop):
            if not self.use_labels and crop.data is not None:
                yield RawCrop(crop.key, crop.data)
            elif crop.label is not None and (label := strip_marks(crop.label)) != crop.label:
                yield replace(crop, label=label)
            else:
                yield crop

    def labels(self, start: int, stop: int) -> Iterator[str | None]:
        """Yield the labels of the crops `start` to `stop`, without their images where the layout can."""
        alone = getattr(self.reader, "labels", None)
        found = alone(start, stop) if alone else (crop.label for crop in self.reader.read(start, stop))
        return (label if label is None else strip_marks(label) for label in found)
