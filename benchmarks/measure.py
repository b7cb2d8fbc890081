"""Timing two ways of doing the same work, turn by turn, so that a busy machine slows both."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lmim_kedro.crops.ahead import cores

Measurement = dict[str, Any]
"""name, value, unit, reference, ratio (value / reference); where it applies memory_mib and waiting (share of time)."""


def rate(
    work: Callable[[], object], crops: float, seconds: float = 1.0, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Crops a second of `work`, which does `crops` of them, repeated for at least that many seconds of a clock."""
    start, rounds = clock(), 0
    while True:
        work()
        rounds += 1
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        passed = clock() - start
        if passed >= seconds:
            return rounds * crops / passed


def compare(
    name: str,
    ours: Callable[[], object],
    reference: Callable[[], object],
    crops: int,
    *,
    reference_crops: float | None = None,
    turns: int = 5,
    seconds: float = 0.6,
    clock: Callable[[], float] = time.perf_counter,
) -> Measurement:
    """The median rates of two ways, taken in turn after one round of each that does not count.

    Args:
        name: of the measurement.
        ours, reference: the work.
        crops: that one call of `ours` handles, and one of `reference`, unless
        reference_crops: says otherwise.
        turns: of each.
        seconds: that a turn lasts at least.
        clock: by which it lasts: `time.process_time` counts the processor's seconds alone.
    """
    ours()
    reference()
    rates: list[tuple[float, float]] = []
    for _ in range(turns):
        rates.append((rate(ours, crops, seconds, clock), rate(reference, reference_crops or crops, seconds, clock)))
    value, plain = (statistics.median(column) for column in zip(*rates, strict=True))
    return {"name": name, "value": value, "unit": "crops/s", "reference": plain, "ratio": value / plain}


def anonymous_memory() -> float:
    """MiB of this process that are no mapped file (an LMDB's pages do not count)."""
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    return float("nan")


def machine() -> str:
    """What it was measured on, in a line."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    processor = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.is_file():
        names = [line.partition(":")[2].strip() for line in cpu_info.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return f"{cores()} cores of {processor}, {device}, torch {torch.__version__}, {torch.get_num_threads()} thread(s)"
