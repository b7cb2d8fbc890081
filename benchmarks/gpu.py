"""What the project does on a GPU, checked and measured in under eight minutes, as Markdown and JSON.

    python benchmarks/gpu.py FOLDER --golden GOLDEN     one GPU of 80 GB, 16 cores, torch 2.11 or newer
    python benchmarks/gpu.py FOLDER --quick             tiny sizes on the CPU, to try the script

It runs from a checkout, without Kedro and DVC, and makes its own crops. Every part runs in a process of its own, which
is stopped when its time is over: a part that fails costs the others nothing. FOLDER/report.md and FOLDER/report.json
are written anew after each part. docs/performance.md says which packages the machine needs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# A checkout need not be installed. The folder of this file goes: its modules have names of packages, as `onnx`.
sys.path[:] = [
    str(ROOT),
    str(ROOT / "src"),
    *[place for place in sys.path if Path(place).resolve() != ROOT / "benchmarks"],
]

import torch  # noqa: E402

from benchmarks.gpu_parts import PARTS, Bench  # noqa: E402

FORK = multiprocessing.get_context("fork")  # a part does not import everything anew
COLUMNS = {
    "name": ("", "{}"),
    "batch": ("crops at once", "{:,}"),
    "crops_per_second": ("crops a second", "{:,.0f}"),
    "plain": ("the plain way", "{:,.0f}"),
    "plain_batch": ("its crops at once", "{:,}"),
    "ratio": ("ratio", "{:.1f}"),
    "ms": ("ms", "{:,.1f}"),
    "host_ms": ("of the host", "{:,.1f}"),
    "mfu": ("MFU", "{:.1%}"),
    "waiting": ("waiting", "{:.1%}"),
    "memory_gib": ("GiB", "{:.1f}"),
    "kernels": ("kernels", "{:,}"),
    "launches": ("launches", "{:,}"),
}
"""Of the table of rates: key of a row -> head and format."""


def main(arguments: list[str] | None = None) -> int:
    """Run the parts and report; the exit status is 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the results go; it must be new or empty")
    parser.add_argument("--golden", type=Path, help="golden values of the released code (docs/weights.md)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes on the CPU")
    parser.add_argument("--seconds", type=float, default=465, help="for all parts together (default: %(default)s)")
    parser.add_argument("--only", action="append", metavar="PART", choices=PARTS, help="may be given several times")
    options = parser.parse_args(arguments)
    if options.golden is not None and not options.golden.is_dir():
        parser.error(f"there is no folder {options.golden}: give the folder of golden values, or leave --golden out")
    if not options.quick and not _has_gpu():
        parser.error("there is no GPU here: give --quick to try the script on the CPU")
    if options.folder.is_dir() and any(options.folder.iterdir()):
        parser.error(f"{options.folder} is not empty: name a new folder")
    options.folder.mkdir(parents=True, exist_ok=True)
    device = torch.device("cpu" if options.quick else "cuda")
    bench = Bench(options.folder.resolve(), device, options.quick, options.golden and options.golden.resolve())
    end = time.monotonic() + options.seconds
    chosen = [name for name in PARTS if not options.only or name in ("machine", "data", *options.only)]
    found: dict[str, Any] = {}
    for name in chosen:
        found[name] = run_part(bench, name, min(PARTS[name][1], end - time.monotonic()))
        (options.folder / "report.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        (options.folder / "report.md").write_text(report(found), "utf-8")
        print(f"{found[name]['seconds']:5.0f} s  {name}  {found[name].get('failed', '')}", flush=True)
    shutil.rmtree(options.folder / "store", ignore_errors=True)
    return int(any("failed" in part for part in found.values()))


def _has_gpu() -> bool:
    """Whether there is a GPU; asked in a process of its own, as one that has used CUDA cannot be forked."""
    process = FORK.Process(target=lambda: sys.exit(int(not torch.cuda.is_available())))
    process.start()
    process.join()
    return process.exitcode == 0


def run_part(bench: Bench, name: str, seconds: float) -> dict[str, Any]:
    """Run a part in a process of its own for that many seconds at most; returns what it noted."""
    if seconds < 1:
        return {"seconds": 0.0, "failed": "left out: the time for all parts was over"}
    start = time.monotonic()
    process = FORK.Process(target=_work, args=(bench, name))
    process.start()
    assert process.pid is not None
    process.join(seconds)
    stopped = process.is_alive()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # with its compilers and loaders
    process.join()
    written = bench.folder / f"{name}.json"
    found = json.loads(written.read_text("utf-8")) if written.is_file() else {}
    written.unlink(missing_ok=True)
    error = bench.folder / f"{name}.error"
    if stopped:
        found["failed"] = f"stopped after {seconds:.0f} s"
    elif process.exitcode:
        lines = error.read_text("utf-8").splitlines() if error.is_file() else []
        found["failed"] = lines[-1] if lines else f"ended with status {process.exitcode}"
    return found | {"seconds": time.monotonic() - start}


def _work(bench: Bench, name: str) -> None:
    os.setpgid(0, 0)  # so that all that it starts can be stopped with it
    bench.part = name
    if bench.quick:
        torch.set_num_threads(1)
    try:
        PARTS[name][0](bench)
    except BaseException:
        (bench.folder / f"{name}.error").write_text(traceback.format_exc(), "utf-8")
        traceback.print_exc()
        raise SystemExit(1) from None


def report(found: dict[str, Any]) -> str:
    """Everything that was found, as Markdown."""
    lines = ["## On a GPU", ""]
    for part in found.values():
        lines += [line for fact in part.get("facts", []) for line in (fact, "")]
    rates = [row for part in found.values() for row in part.get("rates", [])]
    if rates:
        columns = {key: column for key, column in COLUMNS.items() if any(row.get(key) is not None for row in rates)}
        lines.append("| " + " | ".join(head for head, _ in columns.values()) + " |")
        lines.append("| " + " | ".join("---" if key == "name" else "---:" for key in columns) + " |")
        for row in rates:
            cells = [form.format(row[key]) if row.get(key) is not None else "" for key, (_, form) in columns.items()]
            lines.append("| " + " | ".join(cells) + " |")
        lines += ["", "The plain ways:", ""]
        ways = dict.fromkeys((row["plain_way"], row["name"]) for row in rates)
        for way in dict.fromkeys(way for way, _ in ways):
            lines.append(f"- {way}: {'; '.join(name for its, name in ways if its == way)}")
        lines.append("")
    for name, rows in [item for part in found.values() for item in part.get("kernels", {}).items()]:
        lines += [f"**{name}**, the ten kernels that take most time:", ""]
        lines += ["| kernel | calls | ms | share |", "| --- | ---: | ---: | ---: |"]
        for row in rows:
            kernel = row["kernel"][:100].replace("|", "\\|")
            lines.append(f"| `{kernel}` | {row['calls']:,} | {row['ms']:.2f} | {row['share']:.1%} |")
        lines.append("")
    failed = [f"- {name}: {part['failed']}" for name, part in found.items() if "failed" in part]
    if failed:
        lines += ["What is missing:", "", *failed, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
