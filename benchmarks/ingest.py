"""How fast ingest is, how much memory it takes, and whether it survives being killed.

    python benchmarks/ingest.py --crops 100000 --workers 2 --json ingest.json
    python benchmarks/ingest.py --crops 1000000 --workers 2 --kill 3 --json killed.json

An LMDB of JPEG crops (32 x 128 pixels, rendered words) is made first; that time does not count. Each stage then runs
in a process of its own. Rates are given per second and worker, and per second of processor time, which a busy machine
changes much less. Memory is summed over the whole process tree, five times a second: anonymous memory (RssAnon), which
is what the stage itself takes, and resident memory (VmRSS), which counts the mapped pages of LMDBs as well, though the
system drops them whenever it needs the room. Linux only.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lmim_kedro.crops.ahead import cores

STAGES = ("validate", "pack")
DISTINCT = 3000
SIZE = (128, 32)
FIRST_MAP = 2**30


def main() -> None:
    """Run the stages and write what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--shard-crops", type=int, default=50_000, help="crops per shard (default: %(default)s)")
    parser.add_argument("--engine", choices=("processes", "dask"), default="processes")
    parser.add_argument("--kill", type=int, default=0, metavar="TIMES", help="kill so often, and compare the stores")
    parser.add_argument("--seed", type=int, default=0, help="of the moments at which it is killed")
    parser.add_argument("--folder", type=Path, help="where crops and stores go; the crops are kept and used again")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        figures = {"validate": validate, "pack": pack}[options.stage](options)
        options.json.write_text(json.dumps(figures))
        return
    with tempfile.TemporaryDirectory() as temporary:
        options.folder = options.folder or Path(temporary)
        options.folder.mkdir(parents=True, exist_ok=True)
        make_crops(options)
        figures = kill(options) if options.kill else measure(options)
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def raw_folder(options: argparse.Namespace) -> Path:
    """Where the synthetic LMDB lies."""
    return options.folder / f"raw_{options.crops}"


def make_crops(options: argparse.Namespace) -> None:
    """Write the LMDB, unless it is there: a few thousand rendered words, each copy with a comment of its own."""
    import cv2
    import numpy as np

    from lmim_kedro.crops.sources.rendered import RenderedWords
    from lmim_kedro.crops.store.shard_writer import ShardWriter

    if raw_folder(options).is_dir():
        return
    words, count = [], min(DISTINCT, options.crops)
    for crop in RenderedWords(words=count, seed=1, split="finetuning").read(0, count):
        pixels = cv2.resize(cv2.imdecode(np.frombuffer(crop.data, np.uint8), cv2.IMREAD_COLOR), SIZE)
        words.append((cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes(), crop.label))
    with ShardWriter(raw_folder(options), FIRST_MAP) as writer:
        for number in range(options.crops):
            jpeg, label = words[number % len(words)]
            # A comment right after the start marker (FFD8): the picture is the same, the bytes and their hash are not.
            writer.add(jpeg[:2] + b"\xff\xfe" + struct.pack(">HQ", 10, number) + jpeg[2:], label)


def open_crops(options: argparse.Namespace):
    """The synthetic LMDB as a source."""
    from lmim_kedro.crops.sources.open import open_source

    return open_source("synthetic", {"path": str(raw_folder(options))})


def validate(options: argparse.Namespace) -> dict[str, float]:
    """Stage: read and decode every crop; nothing is written."""
    source = open_crops(options)
    cuts = [len(source) * part // (8 * options.workers) for part in range(8 * options.workers + 1)]
    ranges = [(source, start, stop) for start, stop in zip(cuts, cuts[1:], strict=False)]
    started = now()
    if options.workers == 1:
        good = sum(map(validate_range, ranges))
    else:
        with multiprocessing.get_context("spawn").Pool(options.workers) as pool:
            good = sum(pool.imap_unordered(validate_range, ranges))
    assert good == options.crops, f"{options.crops - good} synthetic crops were set aside"
    return since(started)


def validate_range(part: tuple) -> int:
    """Count the good crops among those from start to stop."""
    import cv2

    from lmim_kedro.crops.validate import inspect_crop, quiet_decoders

    source, start, stop = part
    cv2.setNumThreads(1)
    with quiet_decoders():
        return sum(inspect_crop(crop.data, 50_000_000).status == "ok" for crop in source.read(start, stop))


def pack(options: argparse.Namespace) -> dict[str, float]:
    """Stage: validate, hash and pack; then write the manifest and its summary, as the pipeline does."""
    import cv2

    from lmim_kedro.crops.ingest.plan import prepare
    from lmim_kedro.crops.store.manifest import manifest_tables, summarize, write_manifest
    from lmim_kedro.params import IngestParams

    cv2.setNumThreads(1)
    source = open_crops(options)
    params = IngestParams(workers=options.workers, shard_crops=options.shard_crops, engine=options.engine)
    started = now()
    store = prepare([source], params, options.store / "crops", need_labels=True)
    figures, packed = since(started), now()
    summary = summarize(manifest_tables(store))
    write_manifest(manifest_tables(store), options.store / "manifest.parquet")
    assert summary["ok"].iloc[0] == options.crops, summary
    return figures | {f"manifest_{name}": value for name, value in since(packed).items()}


def now() -> tuple[float, float]:
    """Seconds on the clock, and of processor time that this process and those it has waited for have taken."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in usage)


def since(started: tuple[float, float]) -> dict[str, float]:
    """What has passed since `now()` gave `started`."""
    return {name: end - start for name, end, start in zip(("seconds", "cpu_seconds"), now(), started, strict=True)}


def start_stage(options: argparse.Namespace, stage: str, store: Path, figures: Path) -> subprocess.Popen:
    """Start a stage in a process of its own, the first of its group."""
    asked = {"crops": options.crops, "workers": options.workers, "shard-crops": options.shard_crops, "stage": stage}
    asked |= {"engine": options.engine, "folder": options.folder, "store": store, "json": figures}
    words = [word for name, value in asked.items() for word in (f"--{name}", str(value))]
    return subprocess.Popen([sys.executable, __file__, *words], start_new_session=True)


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Run each stage once and return seconds, rates and peaks of memory."""
    figures = about(options)
    for stage in STAGES:
        store, result = options.folder / "store", options.folder / "figures.json"
        shutil.rmtree(store, ignore_errors=True)
        process = start_stage(options, stage, store, result)
        anonymous = resident = 0
        while process.poll() is None:
            sample = memory(process.pid)
            anonymous, resident = max(anonymous, sample[0]), max(resident, sample[1])
            time.sleep(0.2)
        if process.returncode:
            sys.exit(f"the stage {stage} ended with {process.returncode}")
        times = json.loads(result.read_text())
        figures[stage] = {
            **{name: round(value, 2) for name, value in times.items()},
            "crops_per_second_and_worker": round(options.crops / times["seconds"] / options.workers),
            "crops_per_cpu_second": round(options.crops / times["cpu_seconds"]),
            "peak_anonymous_mib": round(anonymous / 2**10),
            "peak_resident_mib": round(resident / 2**10),
        }
        shutil.rmtree(store, ignore_errors=True)
        result.unlink()
    return figures


def about(options: argparse.Namespace) -> dict[str, object]:
    """What was asked for, and how busy the machine was with other things."""
    asked = {name: getattr(options, name) for name in ("crops", "workers", "shard_crops", "engine")}
    return {**asked, "cores": cores(), "load_before": round(os.getloadavg()[0], 2)}


def memory(pid: int) -> tuple[int, int]:
    """Sum the anonymous and the resident memory, KiB, of a process and all that it started."""
    anonymous = resident = 0
    for process in tree(pid):
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        anonymous += int(fields.get("RssAnon", "0").split()[0])
        resident += int(fields.get("VmRSS", "0").split()[0])
    return anonymous, resident


def tree(pid: int) -> Iterator[int]:
    """Yield a process and all that it started; those that have just ended are passed over."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:
            continue
        for child in found:
            yield from tree(int(child))


def kill(options: argparse.Namespace) -> dict[str, object]:
    """Kill an ingest again and again at random, let it end, and compare it with one that was left alone."""
    chance, result = random.Random(options.seed), options.folder / "figures.json"
    alone, killed = options.folder / "alone", options.folder / "killed"
    for store in (alone, killed):
        shutil.rmtree(store, ignore_errors=True)
    started = time.perf_counter()
    wait_for(start_stage(options, "pack", alone, result))
    whole = time.perf_counter() - started
    kills = []
    for number in range(options.kill):
        process = start_stage(options, "pack", killed, result)
        time.sleep(whole * chance.uniform(0.1, 0.8 / options.kill) if options.kill < 8 else whole * 0.1)
        if process.poll() is not None:
            sys.exit("the ingest ended before it could be killed: ask for more crops or fewer kills")
        # By turns the process alone, as the kernel does when memory runs out, and its workers with it.
        everyone = number % 2 == 1
        (os.killpg if everyone else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        done = len(list(killed.glob("crops/shards/*.lmdb")))
        kills.append({"signal": "SIGKILL", "to": "group" if everyone else "process", "whole_shards": done})
    wait_for(start_stage(options, "pack", killed, result))
    different = differences(alone, killed)
    shutil.rmtree(alone)
    shutil.rmtree(killed)
    result.unlink()
    if different:
        sys.exit(f"the stores differ in {', '.join(different[:10])}")
    return {**about(options), "uninterrupted_seconds": round(whole, 1), "kills": kills, "same_store_and_manifest": True}


def wait_for(process: subprocess.Popen) -> None:
    """Wait until a stage has ended well."""
    if process.wait():
        sys.exit(f"a stage ended with {process.returncode}")


def differences(one: Path, other: Path) -> list[str]:
    """Name the files that are not in both folders, or not the same byte for byte."""
    names = sorted({str(p.relative_to(root)) for root in (one, other) for p in root.rglob("*") if p.is_file()})
    _, different, missing = filecmp.cmpfiles(one, other, names, shallow=False)
    return different + missing


if __name__ == "__main__":
    main()
