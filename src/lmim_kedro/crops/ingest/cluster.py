"""Runs the shards of an ingest on Dask distributed: on this machine, or wherever a scheduler has workers.

What travels is a ShardTask, that is a range of keys (or the lines of a list): crops are read and shards written by the
workers, on a file system that all of them share.
"""

import hashlib
import logging
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any

from tqdm import tqdm

from lmim_kedro.crops.ingest.shards import ShardTask, write_shard
from lmim_kedro.errors import InputError

CONNECT_SECONDS = 6.0
"""How long a scheduler may take to answer, and then to name its first worker."""
PATIENCE_SECONDS = 60.0
"""How long all workers may be away, and how long a shard may take to be seen through a network file system."""
_ELSEWHERE = "raw crops and packed store must lie under the same path on a file system that all machines share"


def run_on_cluster(tasks: Sequence[ShardTask], scheduler: str | None, workers: int, bar: "tqdm[Any]") -> None:
    """Make the shards on a cluster.

    Args:
        tasks: the shards to be made.
        scheduler: address of a running Dask scheduler; None: a cluster of processes on this machine, for this call.
        workers: processes of the cluster on this machine; a running scheduler has its own number.
        bar: shows how many crops are done.

    Raises:
        InputError: if Dask is not installed, if there is no scheduler at the address or it has no workers, if workers
            die again and again, if they do not see the same files; and as `write_shard`.
    """
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            f"ingest.engine = dask needs Dask distributed ({error}): pip install -e '.[cluster]', or set processes"
        ) from error
    tasks[0].folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with _quiet(), _client(distributed, scheduler, workers) as client:
        try:
            _run(tasks, client, bar)
        except distributed.scheduler.KilledWorker as error:
            raise InputError(
                f"{error.allowed_failures + 1} workers died, one after the other, at the same shard ({error.task}), "
                "most likely for want of memory: give each worker more, start them with --memory-limit 0 (pages of a "
                "mapped LMDB count as a worker's memory, but cost none), or use fewer; then run the same command again"
            ) from error
        except (ImportError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "deserialization" not in str(error):
                raise
            raise InputError(
                f"the Dask scheduler at {client.scheduler.address} or its workers do not have this version of "
                "lmim-kedro: install the same one there, pip install -e '.[cluster]'"
            ) from error
        except (distributed.CancelledError, OSError) as error:
            if isinstance(error, OSError) and client.status == "running":
                raise  # a worker's, of its disk
            raise InputError(
                f"the connection to the Dask scheduler {client.scheduler.address} was lost: start it again if need be, "
                "then run the same command again; shards that are whole are kept"
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's remarks out of the log, here and in the workers of a cluster made here: what matters is raised."""
    import dask

    log = logging.getLogger("distributed")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with dask.config.set({"distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "error"}):
            yield
    finally:
        log.setLevel(level)


@contextmanager
def _client(distributed: ModuleType, scheduler: str | None, workers: int) -> Iterator[Any]:
    """A client with at least one worker behind it."""
    if scheduler is None:
        # No limit of memory: Dask would count the pages of a mapped LMDB as the worker's own, and end it.
        one_each = {"n_workers": workers, "threads_per_worker": 1, "memory_limit": 0}
        quiet = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.ERROR}
        with (
            distributed.LocalCluster(**one_each, **quiet) as cluster,
            distributed.Client(cluster, set_as_default=False) as client,
        ):
            yield client
        return
    try:
        # A client that finds nothing is slow to give up.
        protocol, place = distributed.comm.parse_address(scheduler, strict=True)
        if protocol in ("tcp", "tls"):
            socket.create_connection(distributed.comm.parse_host_port(place), CONNECT_SECONDS / 2).close()
        client = distributed.Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"no Dask scheduler answers at ingest.scheduler = {scheduler} ({error}): give the address that "
            "`dask scheduler` prints, such as tcp://10.0.0.1:8786, or null to use this machine alone"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            raise InputError(
                f"the Dask scheduler at {scheduler} has no workers: start some with `dask worker {scheduler} "
                "--nthreads 1 --memory-limit 0`, then run the same command again"
            ) from error
        yield client


def _run(tasks: Sequence[ShardTask], client: Any, bar: "tqdm[Any]") -> None:
    topic = f"lmim-ingest-{uuid.uuid4().hex[:8]}"
    progress: dict[str, int] = {}
    client.subscribe_topic(topic, lambda event: progress.update([event[1]]))
    waiting = {}
    for task in sorted(tasks, key=len, reverse=True):
        task = replace(task, folder=task.folder.absolute())
        key = f"{topic}-{task.folder.name}"
        waiting[client.submit(_work, task, _first_crop(task), topic, key=key, pure=False)] = task
    finished, shown, seen = 0, 0, time.monotonic()
    while waiting:
        time.sleep(0.1)
        for future in [future for future in waiting if future.done()]:
            future.result()
            task = waiting.pop(future)
            _see(task)
            finished += len(task)
        # A shard that is made again by another worker counts from its start again: then the bar goes back.
        done = finished + sum(progress.get(task.folder.name, 0) for task in waiting.values())
        bar.update(done - shown)
        shown = done
        if time.monotonic() - seen > 5 and client.nthreads():
            seen = time.monotonic()
        if time.monotonic() - seen > PATIENCE_SECONDS:
            raise InputError(
                f"the Dask scheduler {client.scheduler.address} has had no workers for {PATIENCE_SECONDS:.0f} s: start "
                "some, then run the same command again; shards that are whole are kept"
            )


def _see(task: ShardTask) -> None:
    """Wait until a shard that a worker has made is seen here."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not task.is_made():
        if time.monotonic() > until:
            raise InputError(f"a worker has made {task.folder}, but it is not to be seen here: {_ELSEWHERE}")
        time.sleep(0.2)


def _first_crop(task: ShardTask) -> str:
    """Hash of a shard's first crop: a worker that reads another one, or none, has other files."""
    (crop,) = task.source.read(task.start, task.start + 1)
    return hashlib.blake2b(repr((crop.key, crop.data, crop.label, crop.reason)).encode(), digest_size=16).hexdigest()


def _work(task: ShardTask, first: str, topic: str) -> None:
    """Make a shard: what runs on a worker."""
    import cv2
    from distributed import get_worker

    worker = get_worker()
    if not task.folder.parent.is_dir() or _first_crop(task) != first:
        raise InputError(
            f"the worker {worker.address} does not see {task.folder.parent} and the crops of {task.source.name} as "
            f"this machine does: {_ELSEWHERE}"
        )
    cv2.setNumThreads(1)
    done, sent = 0, time.monotonic()

    def advance(crops: int) -> None:
        nonlocal done, sent
        done += crops
        if time.monotonic() - sent > 0.5:
            worker.log_event(topic, (task.folder.name, done))
            sent = time.monotonic()

    write_shard(task, advance)
