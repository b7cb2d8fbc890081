"""Runs the shards of an ingest, here, in a pool of processes or on a cluster, under one progress bar."""

import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import cv2
from tqdm import tqdm

from lmim_kedro.crops.ahead import cores
from lmim_kedro.crops.ingest.shards import ShardTask, write_shard
from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams
from lmim_kedro.progress import progress_bar

_SMALL = 2000
"""Crops that this process has finished before a pool has started."""

_counter: Any = None


def run_shards(tasks: Sequence[ShardTask], params: IngestParams, total: int) -> None:
    """Make the shards.

    Args:
        tasks: the shards to be made.
        params: `workers`, `engine` and `scheduler` say who makes them.
        total: crops of all shards, those included that were there already: the length of the progress bar.

    Raises:
        InputError: if workers die, if the disk is full, if there is no cluster where one is asked for.
    """
    crops = sum(len(task) for task in tasks)
    workers = min(params.workers or cores(), len(tasks))
    with progress_bar(total, initial=total - crops, unit="crop", desc="ingest") as bar:
        if params.engine == "dask":
            from lmim_kedro.crops.ingest.cluster import run_on_cluster

            run_on_cluster(tasks, params.scheduler, workers, bar)
        elif workers == 1 or crops < _SMALL:
            for task in tasks:
                write_shard(task, bar.update)
        else:
            _run_pool(tasks, workers, bar)


def _run_pool(tasks: Sequence[ShardTask], workers: int, bar: "tqdm[Any]") -> None:
    # Spawned, not forked: a fork would inherit the threads and LMDB environments of whoever calls.
    context = multiprocessing.get_context("spawn")
    counter, shown = context.Value("q", 0), 0
    with ProcessPoolExecutor(workers, context, _start_worker, (counter,)) as pool:
        waiting = {pool.submit(write_shard, task, _advance) for task in sorted(tasks, key=len, reverse=True)}
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_EXCEPTION)
                for future in finished:
                    future.result()
                bar.update(counter.value - shown)
                shown = counter.value
        except BrokenProcessPool as error:
            raise InputError(
                f"one of {workers} ingest processes died, most likely for want of memory: run the same command again "
                "with fewer (--params=ingest.workers=1); shards that are whole are kept"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker(counter: Any) -> None:
    global _counter
    _counter = counter
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's processes do not notice that whoever started them was killed: they would write on, and then wait."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _advance(crops: int) -> None:
    with _counter.get_lock():
        _counter.value += crops
