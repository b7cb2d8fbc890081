"""`python -m benchmarks`: a table of rates, each beside the plain way to do the same in the same run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
import yaml

from benchmarks import decoding, path, rendering, scoring, steps
from benchmarks.measure import Measurement, machine
from lmim_kedro.params import ModelParams

PRESETS = Path("conf/base/models.yml")


def all_measurements(batch: int | None) -> dict[str, Callable[[], Measurement]]:
    """Every measurement of this machine, by name."""
    written = yaml.safe_load(PRESETS.read_text("utf-8"))["models"] if PRESETS.is_file() else {steps.MAIN: {}}
    models = {name: ModelParams.model_validate(size) for name, size in written.items()}
    return {
        **path.measurements(),
        **scoring.measurements(),
        **decoding.measurements(),
        **rendering.measurements(),
        **_exports(),
        **steps.measurements(models, batch),
    }


def _exports() -> dict[str, Callable[[], Measurement]]:
    """Those that need the extra `onnx`; none without it."""
    if not all(map(find_spec, ("onnx", "onnxruntime", "onnxscript"))):
        return {}
    from benchmarks import onnx

    return onnx.measurements()


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurements as a list")
    parser.add_argument("--only", action="append", metavar="NAME", help="measure this one; may be given several times")
    parser.add_argument("--batch", type=int, help="crops of a training step")
    parser.add_argument("--threads", type=int, default=1, help="torch's CPU threads (default: 1, rates are per core)")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    known = all_measurements(options.batch)
    if options.list:
        print("\n".join(known))
        return 0
    if unknown := set(options.only or ()) - set(known):
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    print(machine())
    print(f"{'':34} {'a second':>10} {'plain way':>10} {'ratio':>7} {'MiB':>7}")
    found = []
    for name in options.only or known:
        row = known[name]()
        found.append(row)
        memory = f"{row['memory_mib']:7,.0f}" if "memory_mib" in row else ""
        print(
            f"{name:34} {row['value']:10,.0f} {row['reference']:10,.0f} {row['ratio']:7.1f} {memory:7} {row['unit']}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
