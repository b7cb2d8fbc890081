"""Ingest keeps account of every crop, and makes the same store however it is run and interrupted."""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources.open import Source, open_source
from lmim_kedro.crops.sources.source import RawCrop
from lmim_kedro.crops.store.manifest import manifest_tables, summarize, write_manifest
from lmim_kedro.crops.store.shard_writer import ShardWriter
from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams


def png(number, height=8):
    return cv2.imencode(".png", np.full((height, 20, 3), number % 256, np.uint8))[1].tobytes()


@dataclass(frozen=True)
class Words:
    """A reader whose crops are given, except that reading `fatal` kills or stops the reader."""

    crops: tuple[RawCrop, ...]
    labeled: bool = True
    fatal: tuple[int, object] = (-1, None)
    format: str = "test"
    description: str = "handful of crops without labels"
    identity: str = "1"

    def __len__(self):
        return len(self.crops)

    def read(self, start, stop):
        for position in range(start, stop):
            if position == self.fatal[0]:
                self.fatal[1]()
            yield self.crops[position]


def named(name, crops, identity="1", **options):
    return Source(name, Words(tuple(crops), identity=identity, **options))


def good(count, first=0):
    return [RawCrop(f"key {number}", png(number), f"w{number}") for number in range(first, first + count)]


FAULTY = [
    RawCrop("fine", png(1), "Ünïcode word"),
    RawCrop("cut", png(2)[:-40], "cut"),
    RawCrop("gone", None, "gone", "missing file"),
    RawCrop("bad label", png(3), None, "label not UTF-8"),
    RawCrop("none", png(4), None),
    RawCrop("blank", png(5), ""),
    RawCrop("fine too", png(6), "x"),
]


def run(sources, folder, need_labels=True, **params):
    return prepare(sources, IngestParams(workers=params.pop("workers", 1), **params), folder, need_labels)


def manifest(store):
    return pd.concat([table.to_pandas() for table in manifest_tables(store)], ignore_index=True)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_every_crop_has_a_row_and_only_good_ones_are_stored(tmp_path):
    store = run([named("a", FAULTY)], tmp_path)
    rows = manifest(store)
    assert rows["key"].tolist() == [crop.key for crop in FAULTY]
    assert rows["reason"].fillna("").tolist() == [
        "", "truncated", "missing file", "label not UTF-8", "no label", "empty label", ""
    ]  # fmt: skip
    assert rows["status"].tolist() == ["ok" if reason == "" else "set aside" for reason in rows["reason"].fillna("")]
    assert rows["store_index"].dropna().astype(int).tolist() == [0, 1]
    assert rows["label_length"].fillna(-1).astype(int).tolist() == [12, 3, 4, -1, -1, 0, 1]
    assert store.fetch([0, 1]) == [png(1), png(6)]
    assert store.labels([0, 1]) == ["Ünïcode word", "x"]


def test_facts_of_a_crop_stand_in_its_row(tmp_path):
    row = manifest(run([named("a", good(1))], tmp_path)).iloc[0]
    assert (row["source"], row["width"], row["height"], row["bytes"]) == ("a", 20, 8, len(png(0)))
    assert (row["format"], row["mode"], len(row["hash"])) == ("PNG", "RGB", 32)


def test_without_labels_only_the_image_decides(tmp_path):
    source = Source("a", Words(tuple(FAULTY)), use_labels=False)
    store = run([source], tmp_path, need_labels=False)
    assert not store.labeled
    assert manifest(store).query("status == 'ok'")["key"].tolist() == ["fine", "bad label", "none", "blank", "fine too"]


def test_store_indices_of_the_manifest_lead_to_the_crops_over_all_shards(tmp_path):
    sources = [named("a", [*good(5), FAULTY[1], *good(5, 5)]), named("b", good(7, 20))]
    store = run(sources, tmp_path, shard_crops=4)
    rows = manifest(store).query("status == 'ok'")
    indices = rows["store_index"].astype(int).tolist()
    assert indices == list(range(17))
    assert store.labels(indices) == rows["label"].tolist()
    assert [(source.name, source.start, source.stop) for source in store.sources] == [("a", 0, 10), ("b", 10, 17)]
    assert len(store.shards) == 5


def test_two_workers_make_the_same_store_as_one_byte_for_byte(tmp_path):
    with ShardWriter(tmp_path / "words_lmdb") as writer:
        for crop in good(2500):
            writer.add(crop.data if writer.crops % 100 else b"broken", crop.label)
    (tmp_path / "gt.txt").write_text("words_lmdb/data.mdb\tno image\nnowhere.png\tmissing\n")
    spec = [("lmdb", {"path": tmp_path / "words_lmdb"}), ("list", {"path": tmp_path / "gt.txt"})]
    sources = [open_source(name, options) for name, options in spec]
    run(sources, tmp_path / "one", shard_crops=700)
    run(sources, tmp_path / "two", shard_crops=700, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_killed_ingest_goes_on_where_it_was_and_ends_with_the_same_store(tmp_path):
    crops = good(40)
    for killed_at in (17, 33):
        child = os.fork()
        if child == 0:
            run([named("a", crops, fatal=(killed_at, lambda: os._exit(9)))], tmp_path / "killed", shard_crops=5)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert not (tmp_path / "killed" / "store.json").exists()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").rglob("*.lmdb/data.mdb")}
    assert len(before) == 6
    run([named("a", crops)], tmp_path / "killed", shard_crops=5)
    run([named("a", crops)], tmp_path / "whole", shard_crops=5)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert all(path.stat().st_mtime_ns == made for path, made in before.items())


def test_whole_store_is_not_read_again(tmp_path):
    def fail():
        raise AssertionError("read again")

    first = run([named("a", good(10))], tmp_path)
    again = run([named("a", good(10), fatal=(0, fail))], tmp_path)
    assert again.fetch([9]) == first.fetch([9])


@pytest.mark.parametrize("change", [{}, {"store_height": 32}, {"store_size": (32, 128)}])
def test_changed_source_or_parameter_makes_the_store_anew(tmp_path, change):
    run([named("a", [RawCrop("k", png(1, 64), "w")])], tmp_path)
    identity, height = ("1", 32) if change else ("2", 64)
    store = run([named("a", [RawCrop("k", png(2, 64), "w")], identity)], tmp_path, **change)
    assert cv2.imdecode(np.frombuffer(store.fetch([0])[0], np.uint8), 1)[0, 0, 0] == 2
    assert cv2.imdecode(np.frombuffer(store.fetch([0])[0], np.uint8), 1).shape[0] == height


def test_failed_second_ingest_does_not_leave_the_first_ones_card(tmp_path):
    run([named("a", good(10))], tmp_path, shard_crops=5)
    with pytest.raises(ZeroDivisionError):
        run([named("a", good(10), "2", fatal=(7, lambda: 1 / 0))], tmp_path, shard_crops=5)
    assert not (tmp_path / "store.json").exists()


def test_unlabeled_source_is_refused_where_labels_are_needed(tmp_path):
    with pytest.raises(InputError, match=r"labels are needed here, but street has none \(handful of crops"):
        run([named("a", good(1)), named("street", good(1), labeled=False)], tmp_path)


def test_source_that_lists_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="^b: no crop is listed"):
        run([named("a", good(1)), named("b", [])], tmp_path)


def test_source_of_which_nothing_can_be_used_is_an_error_with_the_first_reason(tmp_path):
    with pytest.raises(
        InputError, match="none of the 2 crops of a can be used; the first, cut, was set aside: truncated"
    ):
        run([named("a", [FAULTY[1], FAULTY[2]])], tmp_path)


def test_files_that_were_missing_are_read_when_they_are_there(tmp_path):
    names = [f"{number}.png" for number in range(4)]
    listed = tmp_path / "words" / "gt.txt"
    listed.parent.mkdir()
    listed.write_text("".join(f"{name}\tword\n" for name in names))

    def ingest():
        return run([open_source("words", {"path": str(listed)})], tmp_path / "store", shard_crops=2)

    (listed.parent / names[0]).write_bytes(png(1))
    first = ingest()
    assert len(first) == 1
    (listed.parent / names[3]).write_bytes(png(2))
    second = ingest()
    assert len(second) == 2 and second.fingerprint != first.fingerprint
    written = [(shard.folder / "data.mdb").stat().st_mtime_ns for shard in second.shards]
    assert ingest().fingerprint == second.fingerprint
    assert [(shard.folder / "data.mdb").stat().st_mtime_ns for shard in second.shards] == written


def test_files_that_were_all_broken_are_read_again_after_the_error(tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.png").write_bytes(b"no picture")
    source = {"path": str(tmp_path / "words")}
    with pytest.raises(InputError, match="none of the 1 crops"):
        run([open_source("words", source)], tmp_path / "store", need_labels=False)
    (tmp_path / "words" / "a.png").write_bytes(png(1))
    assert len(run([open_source("words", source)], tmp_path / "store", need_labels=False)) == 1


def test_a_file_managers_file_among_the_shards_is_left_alone(tmp_path):
    run([named("a", good(3))], tmp_path)
    (tmp_path / "shards" / ".DS_Store").write_bytes(b"")
    assert len(run([named("a", good(4), identity="2")], tmp_path)) == 4
    assert (tmp_path / "shards" / ".DS_Store").exists()


def test_summary_counts_each_source_and_all(tmp_path):
    store = run([named("a", FAULTY), named("b", [RawCrop("k", png(1, 30), "w")])], tmp_path)
    summary = summarize(manifest_tables(store)).set_index("source")
    assert summary.loc[["a", "b", "all"], ["crops", "ok", "set_aside", "labeled"]].to_numpy().tolist() == [
        [7, 2, 5, 2],
        [1, 1, 0, 1],
        [8, 3, 5, 3],
    ]
    assert set(summary.loc["a", "reasons"].split(", ")) == {
        "1 truncated", "1 missing file", "1 label not UTF-8", "1 no label", "1 empty label"
    }  # fmt: skip
    assert summary.loc["b", ["median_width", "median_height", "bytes"]].tolist() == [20, 30, len(png(1, 30))]
    pd.testing.assert_frame_equal(summarize(manifest(store)), summary.reset_index())


def test_summary_of_many_tables_is_that_of_one(tmp_path):
    heights = [8, 9, 11, 30, 30, 31]
    crops = [RawCrop(f"{place}", png(place, height), "w") for place, height in enumerate(heights)]
    store = run([named("a", [*crops[:4], FAULTY[1], *crops[4:]]), named("b", FAULTY)], tmp_path, shard_crops=2)
    summary = summarize(manifest_tables(store)).set_index("source")
    good = manifest(store).query("status == 'ok'").groupby("source", observed=True)["height"].median()
    assert summary.loc["a", "median_height"] == good["a"] == 20.5
    assert summary.loc["b", "reasons"].split(", ")[0].startswith("1 ")
    pd.testing.assert_frame_equal(summarize(manifest(store)), summary.reset_index())


def test_summary_lists_the_most_frequent_reason_first_and_no_median_of_nothing(tmp_path):
    broken = [RawCrop("gone", None, "w", "missing file"), RawCrop("cut", png(1)[:-40], "w"), RawCrop("c", b"GIF", "w")]
    store = run([named("a", [*broken[:2], broken[1]]), named("b", good(1))], tmp_path)
    summary = summarize(manifest_tables(store)).set_index("source")
    assert summary.loc["a", "reasons"] == "2 truncated, 1 missing file"
    assert pd.isna(summary.loc["a", "median_width"])


def test_manifest_file_holds_the_rows_of_all_shards_and_appears_when_whole(tmp_path):
    store = run([named("a", FAULTY + good(9))], tmp_path, shard_crops=4)
    write_manifest(manifest_tables(store), tmp_path / "manifest.parquet")
    assert pd.read_parquet(tmp_path / "manifest.parquet")["key"].tolist() == manifest(store)["key"].tolist()

    def broken():
        yield next(manifest_tables(store))
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write_manifest(broken(), tmp_path / "other.parquet")
    assert not list(tmp_path.glob("other*"))
