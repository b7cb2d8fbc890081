"""One run writes to a folder at a time: who waits, who is refused, and that a killed run holds nothing."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node, pipeline

from lmim_kedro import hooks, locks, run_folders
from lmim_kedro.crops.ingest import plan
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.datasets.path import PathDataset
from lmim_kedro.errors import InputError
from lmim_kedro.locks import HOLDER, LOCK, WAIT, writing
from lmim_kedro.params import IngestParams
from lmim_kedro.run_folders import RunFolders, folders_written, steps_to_run

WRITER = """
import sys, time
from pathlib import Path
from lmim_kedro.locks import writing
with writing(Path(sys.argv[1]), wait=False):
    print("here", flush=True)
    time.sleep(60)
"""


@contextmanager
def another(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes to a folder until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "here\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_second_writer_is_refused_by_the_name_of_the_first_and_goes_on_when_that_was_killed(tmp_path: Path) -> None:
    with another(tmp_path / "run") as first:
        with (
            pytest.raises(InputError) as caught,
            writing(tmp_path / "run", wait=False, otherwise="choose another seed"),
        ):
            pass
        held = rf"process {first.pid} on \S+ since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC \(`-c {tmp_path}/run`\)"
        assert re.fullmatch(rf"{tmp_path}/run is being written by {held}: choose another seed", str(caught.value))
        first.kill()
        first.wait()
        assert (tmp_path / "run" / HOLDER).is_file()  # it had no time to say that it ended
        with writing(tmp_path / "run", wait=False) as waited:
            assert not waited
            assert json.loads((tmp_path / "run" / HOLDER).read_text())["pid"] != first.pid
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]


def test_a_second_writer_that_waits_says_for_whom_and_goes_on_when_the_first_has_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lmim_kedro")
    with another(tmp_path) as first:
        threading.Timer(0.3, first.kill).start()
        with writing(tmp_path, wait=True) as waited:
            assert waited and first.poll() is not None
    (line,) = caplog.messages
    assert line.startswith(f"waiting for {tmp_path}, which is being written by process {first.pid} on ")


def test_a_file_system_without_locks_is_told_and_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import filelock

    def without(*_: Any, **__: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", without)
    with writing(tmp_path, wait=False) as waited:
        assert not waited
    assert f"{tmp_path} cannot be locked ([Errno 37] No locks available): see to it" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_two_ingests_of_one_store_pack_each_shard_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed, run_shards = [], plan.run_shards

    def counted(tasks: list[Any], *rest: Any) -> None:
        packed.append(len(tasks))
        time.sleep(0.2)  # the second one comes meanwhile
        run_shards(tasks, *rest)

    monkeypatch.setattr(plan, "run_shards", counted)
    words = open_source("words", {"format": "rendered", "words": 6, "split": "heldout", "styles": {"easy": {}}})
    given = [words], IngestParams(workers=1, shard_crops=3), tmp_path / "store", True
    stores = []
    threads = [threading.Thread(target=lambda: stores.append(plan.prepare(*given))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert packed == [2]
    assert [len(store) for store in stores] == [6, 6] and stores[0].fingerprint == stores[1].fingerprint


def same(*values: Any) -> Any:
    return values[0]


@pytest.fixture
def steps() -> Pipeline:
    return pipeline(
        [
            node(same, ["crops", "training_state"], "teacher", name="teach"),
            node(same, ["teacher", "training_state"], "model", name="train"),
            node(same, "model", "readings", name="read"),
            node(same, "readings", "verdicts", name="judge"),
        ]
    )


@pytest.fixture
def catalog(tmp_path: Path) -> DataCatalog:
    places = {"teacher": "shared/teacher", "model": "run/model", "verdicts": "output/verdicts"}
    made = DataCatalog.from_config(
        {
            name: {"type": "json.JSONDataset", "filepath": str(tmp_path / f"{place}.json")}
            for name, place in places.items()
        }
    )
    made["crops"] = MemoryDataset([1])
    made["training_state"] = PathDataset(filepath=str(tmp_path / "run/state"))
    return made


def test_a_run_holds_each_folder_until_its_last_result_and_that_of_the_state_to_the_end(
    steps: Pipeline, catalog: DataCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = folders_written(steps, catalog)
    assert written == {
        tmp_path / "shared": {"teacher"},
        tmp_path / "run": set(),
        tmp_path / "output": {"verdicts"},
    }
    folders = RunFolders()
    assert not folders.take(written, wait=False)
    assert folders.held == sorted(written)
    with monkeypatch.context() as patched:
        patched.setattr(run_folders.os, "getpid", lambda: -1)  # in a process of Kedro's ParallelRunner
        folders.saved("teacher")
    assert folders.held == sorted(written)
    folders.saved("teacher")
    assert folders.held == [tmp_path / "output", tmp_path / "run"]
    with writing(tmp_path / "shared", wait=False):
        pass
    folders.saved("model")
    folders.saved("verdicts")
    assert folders.held == [tmp_path / "run"]
    folders.release()
    assert folders.held == []


def test_a_run_that_is_refused_holds_nothing(tmp_path: Path) -> None:
    folders = RunFolders()
    with writing(tmp_path / "b", wait=False), pytest.raises(InputError, match=r"wait for it \(--wait does that\)"):
        folders.take({tmp_path / name: {name} for name in "abc"}, wait=False)
    assert folders.held == []
    with writing(tmp_path / "a", wait=False):
        pass


def test_only_missing_outputs_takes_the_steps_that_kedro_takes(steps: Pipeline, catalog: DataCatalog) -> None:
    def taken() -> list[str]:
        return [step.name for step in steps_to_run(steps, catalog).nodes]

    assert taken() == ["teach", "train", "read", "judge"]
    catalog.save("teacher", 1)
    assert taken() == ["train", "read", "judge"]
    catalog.save("model", 1)
    assert taken() == ["read", "judge"]  # what is read is kept in memory only
    catalog.save("verdicts", 1)
    assert taken() == []
    (Path(catalog["teacher"]._filepath)).unlink()  # type: ignore[attr-defined]
    assert taken() == ["teach"]


def test_hooks_lock_what_a_run_writes_and_let_go_of_it_whatever_comes(
    steps: Pipeline, catalog: DataCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "pipelines", {})
    given = {"project_path": str(tmp_path), "env": None, "runtime_params": {}}
    one, other = hooks.RunHooks(), hooks.RunHooks()
    one.before_pipeline_run(given, steps, catalog)
    with pytest.raises(InputError, match=f"{tmp_path}/output is being written by process"):
        other.before_pipeline_run(given, steps, catalog)
    one.after_dataset_saved("verdicts")
    with pytest.raises(InputError, match=f"{tmp_path}/run is being written by process"):
        other.before_pipeline_run(given, steps, catalog)
    one.on_pipeline_error()
    other.before_pipeline_run(given, steps, catalog)
    other.after_pipeline_run(given, steps, catalog)
    one.before_pipeline_run(given, steps, catalog)
    one.on_pipeline_error()


def test_a_run_that_waited_for_the_shared_teacher_takes_what_was_made(
    steps: Pipeline, catalog: DataCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "pipelines", {})
    monkeypatch.setattr(locks, "_SECONDS", 0.01)
    given = {"project_path": str(tmp_path), "env": None, "runtime_params": {}, "only_missing_outputs": True}
    first, second = RunFolders(), hooks.RunHooks()
    # Filelock knows that a thread would wait for itself, so the other run begins in another one.
    beginning = threading.Thread(target=first.take, args=({tmp_path / "shared": {"teacher"}}, False))
    beginning.start()
    beginning.join()

    def make() -> None:
        catalog.save("teacher", 1)
        first.saved("teacher")

    threading.Timer(0.2, make).start()
    token = WAIT.set(True)
    try:
        second.before_pipeline_run(given, steps, catalog)
        assert second._folders.held == [
            tmp_path / "output",
            tmp_path / "run",
        ]  # a third run need not wait for the teacher
    finally:
        WAIT.reset(token)
        second.on_pipeline_error()
    assert second._steps == ["train", "read", "judge"]
