"""Ingest on Dask distributed makes the same store, outlives its workers, and says what a cluster lacks."""

import os
import socket
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lmim_kedro.crops.ingest import cluster as ingest_cluster
from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.store.shard_writer import ShardWriter
from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")


def png(number):
    return cv2.imencode(".png", np.full((8, 20, 3), number % 256, np.uint8))[1].tobytes()


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def scheduler():
    """Two workers, started anew by their nannies when they die; the scheduler lives in this process."""
    options = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, **options) as cluster:
        yield cluster.scheduler


@pytest.fixture
def sources(tmp_path):
    """An LMDB with broken crops, and a list with a file that is not there."""
    with ShardWriter(tmp_path / "raw" / "words_lmdb") as writer:
        for number in range(200):
            writer.add(png(number) if number % 50 else b"broken", f"w{number}")
    for number in range(20):
        (tmp_path / "raw" / f"{number}.png").write_bytes(png(number))
    (tmp_path / "raw" / "gt.txt").write_text("".join(f"{number}.png\tword {number}\n" for number in range(21)))
    spec = [("lmdb", {"path": tmp_path / "raw" / "words_lmdb"}), ("list", {"path": tmp_path / "raw" / "gt.txt"})]
    return [open_source(name, options) for name, options in spec]


def run(sources, folder, **params):
    return prepare(sources, IngestParams(shard_crops=30, **{"workers": 1, **params}), folder, need_labels=True)


def test_cluster_of_its_own_makes_the_same_store_byte_for_byte(tmp_path, sources, capfd):
    run(sources, tmp_path / "processes")
    run(sources, tmp_path / "dask", engine="dask")
    assert contents(tmp_path / "dask") == contents(tmp_path / "processes")
    assert "221/221" in capfd.readouterr().err.split("ingest:")[-1]


def test_running_scheduler_makes_only_the_shards_that_are_missing(tmp_path, sources, scheduler, monkeypatch):
    run(sources, tmp_path / "processes")
    with pytest.raises(ZeroDivisionError), monkeypatch.context() as patch:
        patch.setattr(ingest_cluster, "_see", lambda task: 1 / 0)
        run(sources, tmp_path / "dask", engine="dask", scheduler=scheduler.address)
    monkeypatch.chdir(tmp_path)
    run(sources, Path("dask"), engine="dask", scheduler=scheduler.address)
    assert contents(tmp_path / "dask") == contents(tmp_path / "processes")


def test_worker_that_is_killed_in_the_middle_of_a_shard_is_replaced(tmp_path, sources, scheduler, monkeypatch):
    run(sources, tmp_path / "whole")
    killed = tmp_path / "was killed"
    monkeypatch.setattr(ingest_cluster, "_work", killed_once(killed))
    run(sources, tmp_path / "killed", engine="dask", scheduler=scheduler.address)
    assert killed.exists()
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def killed_once(killed):
    """Work on a worker, of which one is killed at the eighth crop of the list."""

    def work(task, *rest):
        from lmim_kedro.crops.ingest import cluster, shards

        pack, left = shards._pack, iter(range(7))

        def pack_or_die(*given):
            if next(left, None) is None:
                killed.touch()
                os.kill(os.getpid(), 9)
            return pack(*given)

        if task.source.name == "list" and not killed.exists():
            shards._pack = pack_or_die
        cluster._work(task, *rest)

    return work


def test_shard_that_kills_every_worker_is_one_sentence(tmp_path, sources, scheduler, monkeypatch):
    monkeypatch.setattr(ingest_cluster, "_work", lambda *task: os._exit(9))
    monkeypatch.setattr(scheduler, "allowed_failures", 0)
    with pytest.raises(InputError, match="1 workers died, one after the other, at the same shard .*fewer"):
        run(sources[1:], tmp_path / "killed", engine="dask", scheduler=scheduler.address)


def raising(error):
    def work(*task):
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (ModuleNotFoundError("No module named 'lmim_kedro'"), InputError, "do not have this version of lmim-kedro"),
        (RuntimeError("Error during deserialization of the task graph"), InputError, r"pip install -e '\.\[cluster\]'"),
        (RuntimeError("something else"), RuntimeError, "^something else$"),
        (OSError(5, "Input/output error"), OSError, "Input/output error"),
        (InputError("the disk of /a became full"), InputError, "^the disk of /a became full$"),
    ],
)
def test_what_fails_on_a_worker_is_told_as_it_is(tmp_path, sources, scheduler, monkeypatch, error, kind, sentence):
    monkeypatch.setattr(ingest_cluster, "_work", raising(error))
    with pytest.raises(kind, match=sentence):
        run(sources[1:], tmp_path / "failed", engine="dask", scheduler=scheduler.address)


def test_worker_that_reads_other_files_is_found_out(tmp_path, sources, scheduler, monkeypatch):
    monkeypatch.setattr(ingest_cluster, "_first_crop", lambda task: "another")
    with pytest.raises(InputError, match="does not see .*shards and the crops of list .*all machines share"):
        run(sources[1:], tmp_path / "other", engine="dask", scheduler=scheduler.address)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{free}", "tcp://no.such.host.invalid:8786", "htp://x:1", "here"])
def test_wrong_address_of_the_scheduler_is_a_sentence(tmp_path, sources, address):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = address.format(free=unused.getsockname()[1])
        with pytest.raises(InputError, match=f"no Dask scheduler answers at ingest.scheduler = {address} .*tcp://10"):
            run(sources, tmp_path / "dask", engine="dask", scheduler=address)


def test_scheduler_without_workers_is_a_sentence(tmp_path, sources, monkeypatch):
    monkeypatch.setattr(ingest_cluster, "CONNECT_SECONDS", 0.5)
    options = {"dashboard_address": "127.0.0.1:0", "silence_logs": 50}
    with (
        distributed.LocalCluster(n_workers=0, **options) as empty,
        pytest.raises(InputError, match=r"has no workers: start some with `dask worker tcp://"),
    ):
        run(sources, tmp_path / "dask", engine="dask", scheduler=empty.scheduler_address)


def test_missing_dask_names_the_extra(tmp_path, sources, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"needs Dask distributed .*pip install -e '\.\[cluster\]'"):
        run(sources, tmp_path / "dask", engine="dask")


def test_scheduler_without_dask_is_refused_by_the_parameters():
    with pytest.raises(ValueError, match="scheduler = tcp://a:1 needs engine = dask"):
        IngestParams(scheduler="tcp://a:1")
