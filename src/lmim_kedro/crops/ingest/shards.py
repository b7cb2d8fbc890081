"""One shard of an ingest: what it is to hold, and the function that reads, validates and writes it anywhere."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lmim_kedro.crops.sources.image_files import MISSING, UNREADABLE
from lmim_kedro.crops.sources.source import RawCrop, Source
from lmim_kedro.crops.store.cards import DATA_FILE, SHARD_FILE, ShardCard, read_card, shard_fault
from lmim_kedro.crops.store.manifest import SCHEMA
from lmim_kedro.crops.store.packed import LAYOUT, ROWS_FILE
from lmim_kedro.crops.store.shard_writer import ShardWriter
from lmim_kedro.crops.validate import decode_checked, is_tall, quiet_decoders, stored_bytes
from lmim_kedro.errors import InputError
from lmim_kedro.files import digest, write_json
from lmim_kedro.params import MAX_BYTES, IngestParams

_REPORT_EVERY = 250
_FACTS = ("width", "height", "bytes", "format", "mode", "hash", "perceptual_hash")


@dataclass(frozen=True)
class ShardTask:
    """One shard to be made: the crops `start` to `stop` of a source. Picklable and small."""

    source: Source
    start: int
    stop: int
    params: IngestParams
    folder: Path

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def fingerprint(self) -> str:
        """Hash of all that the shard's content depends on."""
        asked = {
            "layout": LAYOUT,
            "source": [self.source.name, self.source.identity, self.source.labeled, self.start, self.stop],
            "params": self.params.model_dump(include={"store_height", "store_size", "max_pixels", "rotate_tall"}),
        }
        if self.params.max_bytes != MAX_BYTES:  # so that stores made before there was this limit keep their hash
            asked["max_bytes"] = self.params.max_bytes
        return digest(asked)

    def is_made(self) -> bool:
        """Tell whether the shard is there and made from the same crops in the same way, by its card alone."""
        try:
            card = read_card(self.folder / SHARD_FILE, ShardCard)
        except InputError:
            return False
        there = all((self.folder / name).is_file() for name in (DATA_FILE, ROWS_FILE))
        return there and card is not None and card.fingerprint == self.fingerprint

    def fits(self) -> bool:
        """Tell whether the shard that is there was made for this task, and no file that was unreadable can be read now.

        Errors: InputError for a card that is damaged.
        """
        card = read_card(self.folder / SHARD_FILE, ShardCard)
        return card is not None and card.fingerprint == self.fingerprint and not self.source.readable(card.unread)

    def damage(self) -> str | None:
        """What happened to a shard since it was made, by the sizes and hashes of its files; None: nothing."""
        return shard_fault(self.folder, (DATA_FILE, ROWS_FILE))

    def unread(self) -> list[str]:
        """Return the keys of crops that were listed and could not be read when the shard was made."""
        card = read_card(self.folder / SHARD_FILE, ShardCard)
        return card.unread if card else []

    def stored(self) -> int:
        """Return how many crops the shard holds, once it is done."""
        card = read_card(self.folder / SHARD_FILE, ShardCard)
        return card.crops if card else 0


def write_shard(task: ShardTask, advance: Callable[[int], object]) -> None:
    """Read, validate and write the crops of one shard; `advance` is called with how many more are done."""
    # Columns, not rows: a list of 100,000 dictionaries would take several times the memory.
    rows: dict[str, list[object]] = {name: [] for name in SCHEMA.names}
    unread = []
    with quiet_decoders(), ShardWriter(task.folder) as writer:
        for count, crop in enumerate(task.source.read(task.start, task.stop), 1):
            row = _pack(crop, task, writer)
            for name, values in rows.items():
                values.append(row[name])
            if str(row["reason"]).startswith((MISSING, UNREADABLE)):
                unread.append(crop.key)
            if count % _REPORT_EVERY == 0:
                advance(_REPORT_EVERY)
        table = pa.table([pa.array(rows[field.name], field.type) for field in SCHEMA], schema=SCHEMA)
        pq.write_table(table, writer.part / ROWS_FILE, compression="zstd")
        files = {name: card.model_dump() for name, card in writer.seal().items()}
        made = {"fingerprint": task.fingerprint, "rows": table.num_rows, "crops": writer.crops, "unread": unread}
        write_json(writer.part / SHARD_FILE, made | {"files": files})
    advance(len(task) % _REPORT_EVERY)


def _pack(crop: RawCrop, task: ShardTask, writer: ShardWriter) -> dict[str, object]:
    """Validate one crop, store it if it is good, and return its row of the manifest."""
    facts, reason, index, turned, params = None, crop.reason, None, False, task.params
    if crop.data is None:
        reason = reason or "missing image"
    else:
        decoded = decode_checked(crop.data, params.max_pixels)
        facts = decoded.facts
        reason = facts.reason or reason or crop.label_fault(task.source.labeled)
        if reason is None:
            turned = is_tall(facts, params.rotate_tall)
            kept = stored_bytes(crop.data, decoded, params.store_height, turned, params.store_size)
            index = writer.add(kept, crop.label)
    return {
        "source": task.source.name,
        "key": crop.key,
        "label": crop.label,
        "label_length": None if crop.label is None else len(crop.label),
        "status": "ok" if index is not None else "set aside",
        "reason": reason,
        "store_index": index,
        "turned": turned,
        **{name: getattr(facts, name, None) for name in _FACTS},
    }
