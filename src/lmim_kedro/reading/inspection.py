"""What a path of crops is and what would be read of it, found in about a second: `lmim-kedro inspect`."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lmim_kedro.crops.sources.image_files import Budget, PassedOver, read_file
from lmim_kedro.crops.sources.open import detect, open_found
from lmim_kedro.crops.sources.source import RawCrop, Source
from lmim_kedro.crops.sources.stream import is_set
from lmim_kedro.crops.validate import decode_checked, quiet_decoders
from lmim_kedro.files import read_json
from lmim_kedro.models.folder import READY
from lmim_kedro.params import MAX_PIXELS
from lmim_kedro.text.charset import Charset
from lmim_kedro.text.marks import on_one_line, shown, strip_marks

LISTING, CHARACTERS = 0.7, 0.2
"""Seconds for which crops are listed, and for which the characters of their labels are counted."""
_MOST_LABELS = 100_000
_MOST_SHOWN = 20
_WIDEST = 60
"""Characters of a label or a name that are shown."""


def inspect_path(
    path: Path, layout: str | None = None, rows: int = 5, seconds: float = LISTING, allow_outside: bool = False
) -> Iterator[str]:
    """Say what a path is, line by line.

    Args:
        path: a folder, list, LMDB, archive or image.
        layout: a name of LAYOUTS; None: detected.
        rows: how many of the first crops are shown.
        seconds: after them no more crops are listed, and the count says "at least".
        allow_outside: show also what paths of a list, or links, lead to outside the folder of its images.

    Raises:
        InputError: if there is nothing that can be read.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (90, 30)).save(folder / "a.png")
        >>> _ = (folder / "gt.txt").write_text("a.png\\tdoor")
        >>> print(*list(inspect_path(folder))[:1], sep="\\n")
        layout: list, in gt.txt: columns of a file and a label, with tabs between them
    """
    if layout is None and path.is_file() and not is_set(path):
        data, reason = read_file(path)
        yield f"image: {_size(RawCrop(str(path), data, None, reason))}"
        return
    found, budget = detect(path, layout), Budget(seconds)
    yield f"layout: {found.layout.name}, {found.why}"
    outside = {"allow_outside": True} if allow_outside and "allow_outside" in found.layout.options else {}
    source = open_found(str(path), found, budget=budget, **outside)
    where = "" if source.root in (None, found.path) else f", files below {source.root}"
    yield f"place: {found.path}{where}"
    yield f"crops: {_count(source, budget)}"
    for line in getattr(source.reader, "faults", PassedOver()).lines():
        yield f"  {line}"
    yield from _first(source, rows)
    if source.labeled:
        yield _characters(source)
    reasons = [*getattr(source.reader, "passed_over", PassedOver()).lines(), *found.passed.lines()]
    yield "passed over: nothing" if not reasons else "passed over:"
    yield from (f"  {reason}" for reason in reasons)


def _count(source: Source, budget: Budget) -> str:
    least = "at least " if budget.spent else ""
    return f"{least}{len(source):,}, {'with' if source.labeled else 'without'} labels"


def _first(source: Source, rows: int) -> Iterator[str]:
    for crop in source.read(0, min(rows, len(source))):
        label = "no label" if crop.label is None else repr(_short(crop.label))
        cells = [_short(crop.key), *([label] if source.labeled else []), _size(crop)]
        if crop.data is not None and crop.reason:
            cells.append(crop.reason)
        yield "  " + "  ".join(cells)


def _size(crop: RawCrop) -> str:
    if crop.data is None:
        return crop.reason or "missing image"
    with quiet_decoders():
        facts = decode_checked(crop.data, MAX_PIXELS, as_shown=True).facts
    return facts.reason or f"{facts.width} x {facts.height}"


def _characters(source: Source) -> str:
    """A line on the characters that the ready reader cannot write, in the labels that there is time for."""
    charset = Charset(**read_json(READY / "onnx" / "config.json")["charset"])
    outside: Counter[str] = Counter()
    known, looked, budget = set(charset.characters), 0, Budget(CHARACTERS)
    for label in budget.take(islice(source.labels(0, len(source)), _MOST_LABELS)):
        outside.update(character for character in charset.fold(strip_marks(label or "")) if character not in known)
        looked += 1
    which = f"all {looked:,} labels" if looked == len(source) else f"the first {looked:,} labels"
    if not outside:
        return f"characters outside the ready reader's charset: none in {which}"
    ranked = [f"{_name(character)} {count:,}" for character, count in outside.most_common(_MOST_SHOWN)]
    more = f" and {len(outside) - _MOST_SHOWN} more" if len(outside) > _MOST_SHOWN else ""
    return f"characters outside the ready reader's charset, in {which}: {', '.join(ranked)}{more}"


def _name(character: str) -> str:
    return "space" if character == " " else shown(character)


def _short(text: str) -> str:
    line = on_one_line(text)
    return line if len(line) <= _WIDEST else line[: _WIDEST - 3] + "..."
