"""A packed store that was changed after ingest is found out, named, and made anew; it misleads nobody."""

import json
import logging
import os
import random
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from lmim_kedro.cli import cli
from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.pixels import decode_stored
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.store.cards import shard_fault
from lmim_kedro.crops.store.manifest import manifest_tables
from lmim_kedro.crops.store.packed import PackedStore
from lmim_kedro.crops.store.shard_writer import ShardWriter
from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams


def picture(number):
    pixels = np.random.default_rng(number).integers(0, 256, (20, 60, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """An LMDB of 40 crops with 4 KB each."""
    folder = tmp_path_factory.mktemp("raw") / "lmdb"
    with ShardWriter(folder) as writer:
        for number in range(40):
            writer.add(picture(number), f"w{number}")
    return folder


@pytest.fixture
def ingest(raw, tmp_path):
    """ingest() makes the store of two shards, or goes on with the one that is there."""
    return lambda: prepare(
        [open_source("street", {"path": str(raw)})], IngestParams(workers=1, shard_crops=20), tmp_path / "store", True
    )


def contents(store):
    return {path.relative_to(store): path.read_bytes() for path in Path(store).rglob("*") if path.is_file()}


def cut(data):
    os.truncate(data, data.stat().st_size - 10_000)


def flip(data):
    content = bytearray(data.read_bytes())
    for place in random.Random(0).sample(range(len(content)), 40):
        content[place] ^= 4
    data.write_bytes(content)


def flip_one(data):
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)


DAMAGE = {
    "cut by less than 256 KB": ("data.mdb", cut, r"data.mdb has [\d,]+ bytes, and it was made with [\d,]+"),
    "40 bits": ("data.mdb", flip, "data.mdb was changed: its SHA-256"),
    "one bit": ("data.mdb", flip_one, "data.mdb was changed: its SHA-256"),
    "gone": ("data.mdb", Path.unlink, "data.mdb is missing"),
    "rows": ("rows.parquet", flip_one, "rows.parquet was changed"),
    "card cut": ("shard.json", lambda file: os.truncate(file, 30), "shard.json is not JSON"),
    "card of other types": (
        "shard.json", lambda file: file.write_text('{"fingerprint": 3}'), "shard.json is damaged",
    ),
    "card that is a list": ("shard.json", lambda file: file.write_text("[]"), "shard.json is not a JSON object"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_shard_is_found_and_made_anew(ingest, damage, capsys, caplog):
    store = ingest()
    before = contents(store.path)
    name, change, sentence = DAMAGE[damage]
    change(store.shards[1].folder / name)
    assert cli.main(["verify-store", str(store.path)], standalone_mode=False) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok       00000.lmdb  20 crops of street"
    assert lines[1].startswith("DAMAGED  00001.lmdb  20 crops of street: ") and not lines[1].endswith(": ")
    assert lines[2] == (
        "1 of 2 shards are as they were made; run the command that made the store again, which makes the others anew"
    )
    kept = (store.shards[0].folder / "data.mdb").stat().st_mtime_ns
    with caplog.at_level(logging.WARNING):
        again = ingest()
    (record,) = [record.getMessage() for record in caplog.records if "is made anew" in record.getMessage()]
    assert re.search(rf"^the shard {store.shards[1].folder} is made anew: .*{sentence}", record)
    assert contents(store.path) == before, "as it was made, byte for byte"
    assert (store.shards[0].folder / "data.mdb").stat().st_mtime_ns == kept
    assert again.fingerprint == store.fingerprint
    assert cli.main(["verify-store", str(store.path)], standalone_mode=False) == 0


@pytest.mark.parametrize("damage", DAMAGE)
def test_fault_of_a_shard_says_what_is_wrong(ingest, damage):
    store = ingest()
    name, change, sentence = DAMAGE[damage]
    change(store.shards[1].folder / name)
    fault = shard_fault(store.shards[1].folder)
    assert re.match(sentence, str(fault)), fault


def test_shard_that_was_cut_is_refused_before_a_page_is_read(ingest):
    store = ingest()
    cut(store.shards[1].folder / "data.mdb")
    opened = PackedStore(store.path)
    assert opened.fetch([0]) == [picture(0)]
    with pytest.raises(
        InputError, match=r"the shard .*00001.lmdb is damaged: its data.mdb has .* bytes, and it was made"
    ):
        opened.fetch([39])


def test_crop_that_cannot_be_decoded_is_named(ingest):
    store = ingest()
    data = store.shards[1].folder / "data.mdb"
    content = data.read_bytes()
    place = content.index(picture(27)) + 8  # the first chunk of the PNG, now of 4 GB
    data.write_bytes(content[:place] + b"\xf0\0\0\0" + content[place + 4 :])
    sentence = (
        r"crop 27 \(street, image-000000008 of .*00001.lmdb\) cannot be decoded \([\d,]+ bytes that are no image "
        r"\(truncated\)\): it was changed"
    )
    with pytest.raises(InputError, match=sentence):
        decode_stored(store, [3, 27], 32, 128)


def test_rows_that_cannot_be_read_are_a_sentence(ingest):
    store = ingest()
    cut(store.shards[1].folder / "data.mdb")  # which nobody needs for the rows
    (store.shards[1].folder / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(
        InputError, match="00001.lmdb/rows.parquet cannot be read .*: the shard was changed after ingest"
    ):
        list(manifest_tables(store))


def test_label_that_is_no_text_any_more_is_named(ingest):
    store = ingest()
    data = store.shards[1].folder / "data.mdb"
    content = data.read_bytes()
    place = content.index(b"label-000000008") + len(b"label-000000008")
    data.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
    with pytest.raises(InputError, match=r"the label of crop 27 \(street, image-000000008 of .*\) is not UTF-8"):
        store.labels([2, 27])


def test_store_made_before_hashes_were_noted_is_read_and_made_anew_by_ingest(ingest, capsys):
    store = ingest()
    before = contents(store.path)
    for file in [store.path / "store.json", *(shard.folder / "shard.json" for shard in store.shards)]:
        card = json.loads(file.read_text())
        card.pop("files", None)
        for shard in card.get("shards", []):
            del shard["bytes"], shard["sha256"]
        file.write_text(json.dumps(card))
    assert PackedStore(store.path).fetch([27]) == [picture(27)]
    assert cli.main(["verify-store", str(store.path)], standalone_mode=False) == 1
    assert "shard.json has no hash of data.mdb, as it was made by an earlier version" in capsys.readouterr().out
    ingest()
    assert contents(store.path) == before


@pytest.mark.parametrize(
    ("card", "sentence"),
    [
        ("", "store.json is not JSON"),
        ('{"layout": 2', "store.json is not JSON"),
        ("[2]", "store.json is not a JSON object"),
        ('{"layout": 9}', "has layout 9, this version of the project reads 2"),
        ('{"layout": 2, "fingerprint": "f", "labeled": true, "shards": 3}', r"store.json is damaged \(shards: "),
        ('{"layout": 2, "fingerprint": "f", "labeled": true, "layout": 2, "shards": []}', "'layout' stands in it more"),
        (
            '{"layout": 2, "fingerprint": "f", "labeled": 1, "shards": [{"name": "../x", "source": "a", "crops": 1}]}',
            r"store.json is damaged \(shards.0.name: ",
        ),
        (
            '{"layout": 2, "fingerprint": "f", "labeled": 1, "shards": [{"name": "0.lmdb", "crops": []}]}',
            r"store.json is damaged \(shards.0.source: ",
        ),
    ],
)
def test_damaged_card_of_a_store_is_a_sentence_and_made_anew(ingest, card, sentence):
    store = ingest()
    (store.path / "store.json").write_text(card)
    with pytest.raises(InputError, match=sentence):
        PackedStore(store.path)
    assert ingest().fetch([27]) == [picture(27)]


def test_verify_store_of_nothing_is_a_sentence(tmp_path, capsys):
    assert cli.main(["verify-store", str(tmp_path)], standalone_mode=False) == 2
    assert "no packed store at" in capsys.readouterr().err


def test_folder_that_may_not_be_written_is_a_sentence(raw, tmp_path, monkeypatch):
    def refuse(self, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)  # root, who may run the tests, may write everywhere
    with pytest.raises(InputError, match="cannot be written .Permission denied.: give the right to write there"):
        prepare([open_source("a", {"path": str(raw)})], IngestParams(workers=1), tmp_path / "store", False)
    assert contents(tmp_path) == {}
