"""What is exported can be read back by anything that reads the field's LMDBs, and is there whole or not at all."""

import cv2
import lmdb
import numpy as np
import pytest

from lmim_kedro.cli import cli
from lmim_kedro.crops.ingest.export_lmdb import export
from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.store.shard_writer import ShardWriter
from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams


def png(number):
    return cv2.imencode(".png", np.full((8, 20, 3), number % 256, np.uint8))[1].tobytes()


def pack(path, folder, **spec):
    sources = [open_source("words", {"path": str(path), **spec})]
    return prepare(sources, IngestParams(workers=1, shard_crops=7), folder, need_labels=False)


def entries(folder):
    with lmdb.open(str(folder), readonly=True, lock=False) as env, env.begin() as txn:
        return {bytes(key).decode(): bytes(value) for key, value in txn.cursor()}


@pytest.fixture
def words(tmp_path):
    """Twenty images and gt.txt with their labels, spaces and commas in them; one image is not there, one is broken."""
    folder = tmp_path / "words"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.png").write_bytes(png(number) if number != 5 else png(number)[:-40])
    lines = [f"{number}.png\tthe wörd, {number}" for number in range(20)]
    (folder / "gt.txt").write_text("\n".join([*lines, "gone.png\tgone", "0.png\t"]), "utf-8")
    return folder


def test_folder_with_labels_becomes_an_lmdb_and_names_what_it_leaves_out(tmp_path, words):
    exported = export(words, tmp_path / "lmdb")
    good = [number for number in range(20) if number != 5]
    expected = {f"image-{place:09d}": png(number) for place, number in enumerate(good, 1)}
    expected |= {f"label-{place:09d}": f"the wörd, {number}".encode() for place, number in enumerate(good, 1)}
    assert entries(tmp_path / "lmdb") == {"num-samples": b"19", **expected}
    assert exported.left_out == {
        "truncated": (1, "5.png"),
        "missing file": (1, "gone.png"),
        "empty label": (1, "0.png"),
    }
    assert [file.name for file in (tmp_path / "lmdb").iterdir()] == ["data.mdb"]


def test_packed_store_comes_back_from_its_export_crop_by_crop(tmp_path, words):
    store = pack(words, tmp_path / "store")
    assert len(store.shards) > 2
    assert export(store.path, tmp_path / "lmdb").crops == len(store) == 19
    again = pack(tmp_path / "lmdb", tmp_path / "again")
    every = range(len(store))
    assert (again.fetch(every), again.labels(every)) == (store.fetch(every), store.labels(every))
    assert export(tmp_path / "lmdb", tmp_path / "lmdb2").crops == 19
    assert (tmp_path / "lmdb2" / "data.mdb").read_bytes() == (tmp_path / "lmdb" / "data.mdb").read_bytes()


@pytest.mark.parametrize("packed", [True, False])
def test_labels_are_left_out_on_request(tmp_path, words, packed):
    source = pack(words, tmp_path / "store").path if packed else words
    exported = export(source, tmp_path / "lmdb", use_labels=False)
    assert not exported.labeled
    written = entries(tmp_path / "lmdb")
    assert not [key for key in written if key.startswith("label")]
    assert written["num-samples"] == (b"19" if packed else b"20")
    assert not open_source("a", {"path": str(tmp_path / "lmdb")}).labeled


@pytest.mark.parametrize("packed", [True, False])
def test_labels_that_are_asked_for_and_not_there_are_an_error(tmp_path, words, packed):
    (words / "gt.txt").unlink()
    source = pack(words, tmp_path / "store").path if packed else words
    assert not export(source, tmp_path / "lmdb").labeled
    with pytest.raises(InputError, match="has no labels: leave --use-labels out"):
        export(source, tmp_path / "other", use_labels=True)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("there", ["file", "folder"])
def test_target_that_holds_something_is_refused_and_left_alone(tmp_path, words, there):
    target = tmp_path / "target"
    kept = target if there == "file" else target / "thesis.txt"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("years of work")
    with pytest.raises(InputError, match=r"target is (not empty|a file): name a folder that is not there yet"):
        export(words, target)
    assert kept.read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    assert export(words, tmp_path / "empty").crops == 19


def test_nothing_usable_is_an_error_that_leaves_nothing(tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "1.png").write_bytes(b"broken")
    with pytest.raises(
        InputError, match=r"none of the 1 crops of .* can be used(?s:.*)left out: 1 undecodable .*1.png"
    ):
        export(tmp_path / "words", tmp_path / "lmdb")
    assert [path.name for path in tmp_path.iterdir()] == ["words"]


def test_export_that_is_interrupted_leaves_no_target_and_the_next_one_clears_up(tmp_path, words, monkeypatch):
    def die(self):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "_finish", die)
        patch.setattr(ShardWriter, "_clean_up", lambda self, error: None)  # killed: it could not clean up
        export(words, tmp_path / "lmdb")
    assert len(list(tmp_path.glob("lmdb*.part"))) == 1
    assert not (tmp_path / "lmdb").exists()
    export(words, tmp_path / "lmdb")
    assert {path.name for path in tmp_path.iterdir()} == {"words", "lmdb"}


def test_command_says_what_it_wrote_or_what_is_wrong(tmp_path, words, monkeypatch, capsys):
    assert not cli.main(["export-lmdb", str(words), str(tmp_path / "lmdb"), "--use-labels"], standalone_mode=False)
    assert capsys.readouterr().out.splitlines() == [
        f"19 crops with labels written to {tmp_path / 'lmdb'}",
        "left out: 1 truncated (the first: 5.png)",
        "left out: 1 missing file (the first: gone.png)",
        "left out: 1 empty label (the first: 0.png)",
    ]
    assert cli.main(["export-lmdb", str(tmp_path / "nowhere"), str(tmp_path / "other")], standalone_mode=False) == 2
    assert "there is nothing at" in capsys.readouterr().err
