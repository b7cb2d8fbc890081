"""The cards of a packed store: store.json and each shard's shard.json, with the sizes and hashes of their files."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AliasChoices, BaseModel, Field, ValidationError

from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json

SHARD_FILE = "shard.json"
DATA_FILE = "data.mdb"
_Count = Annotated[int, Field(ge=0)]


class FileCard(BaseModel):
    """What a file of a shard was when it was made."""

    bytes: _Count
    sha256: str


class ShardCard(BaseModel):
    """Of shard.json: a hash of what was asked, what the shard holds, and its files beside the card.

    `unread` has the keys of crops that were listed and could not be read. Shards of earlier versions have no `files`.
    """

    fingerprint: str
    crops: _Count
    unread: list[str] = []
    files: dict[str, FileCard] = {}


class ShardEntry(BaseModel):
    """A shard in store.json; `bytes` and `sha256` of its LMDB, which earlier versions did not note."""

    name: Annotated[str, Field(pattern=r"^\d+\.lmdb$")]
    source: str
    crops: _Count
    bytes: _Count | None = None
    sha256: str | None = None


class StoreCard(BaseModel):
    """Of store.json."""

    layout: int
    fingerprint: str
    labeled: bool = Field(validation_alias=AliasChoices("labeled", "labelled"))  # the second before 0.2
    shards: list[ShardEntry]


Card = TypeVar("Card", bound=BaseModel)


def read_card(path: Path, kind: type[Card]) -> Card | None:
    """Read a card; None where there is no such file.

    Errors: InputError for a card that is damaged.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "shard.json"
        >>> _ = path.write_text('{"fingerprint": "f", "crops": "many"}')
        >>> read_card(path, ShardCard)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        lmim_kedro.errors.InputError: .../shard.json is damaged (crops: Input should be a valid integer...
    """
    if not path.is_file():
        return None
    try:
        return kind.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path} is damaged ({where}: {first['msg']}): make it anew with the command that made it"
        ) from error


def file_cards(folder: Path) -> dict[str, FileCard]:
    """The cards of the files that a shard holds, but for the shard's own card."""
    return {file.name: file_card(file) for file in sorted(folder.iterdir()) if file.name != SHARD_FILE}


def file_card(file: Path) -> FileCard:
    """Read a whole file and say what it is."""
    with file.open("rb") as opened:
        return FileCard(bytes=file.stat().st_size, sha256=hashlib.file_digest(opened, "sha256").hexdigest())


def shard_fault(folder: Path, names: Iterable[str] = (DATA_FILE,)) -> str | None:
    """What is wrong with a shard, by its card and the sizes and hashes of all its files; None: it is as it was made.

    Args:
        folder: the shard.
        names: files that it must have.
    """
    try:
        card = read_card(folder / SHARD_FILE, ShardCard)
    except InputError as error:
        return str(error).partition(":")[0].removeprefix(f"{folder}/")
    if card is None:
        return f"{SHARD_FILE} is missing"
    if missing := [name for name in names if name not in card.files]:
        return f"{SHARD_FILE} has no hash of {missing[0]}, as it was made by an earlier version"
    for name, made in card.files.items():
        file = folder / Path(name).name
        if not file.is_file():
            return f"{name} is missing"
        if (size := file.stat().st_size) != made.bytes:
            return f"{name} has {size:,} bytes, and it was made with {made.bytes:,}"
        if file_card(file) != made:
            return f"{name} was changed: its SHA-256 is not the one that it was made with"
    return None
