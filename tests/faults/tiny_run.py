"""Runs a tiny project again and again in processes of its own, kills some of them, and says what came of it.

    python tests/faults/tiny_run.py ALONE FOLDER... < plans.json

Each folder is a checkout with the environment `tiny` (test_killed_run.py makes them). The one in ALONE is left alone.
For each other one, the input has a list of attempts, one after the other. An attempt is an object with the optional
names `step` and `delay` (kill the run so many seconds after that share of its steps began) or `room`: the share of the
bytes that results still need for which a disk of its own below data/ has room (or for which one file has, where this
process may not mount a disk).

The answer has for each folder a list with an object for each attempt: its exit `status`, negative for a signal, what it
`said`, and whether its disk was `full`. In the end, the results of a folder lie in its results/.

Everything heavy is imported once, and each attempt is a fork of that: a run takes seconds instead of ten.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ENV = "tiny"
ROOM = 100_000_000


def begin(folder: Path, room: int | None, said: Path) -> int:
    """Start a run; returns the process."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.setpgid(0, 0)
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(folder)
        if room is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        from kedro.framework.cli.cli import KedroCLI

        try:
            KedroCLI(folder)(["run", f"--env={ENV}"])
        except SystemExit as end:
            status = int(end.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def attempt(folder: Path, said: Path, plan: dict[str, Any], whole: int) -> dict[str, Any]:
    """Run once, as planned; `whole` is the number of bytes that results take."""
    used = size_of(folder / "data")
    room = used + int(plan["room"] * max(0, whole - used)) if "room" in plan else ROOM
    mounted = "remount," if os.path.ismount(folder / "data") else ""
    disk = ["mount", "-t", "tmpfs", "-o", f"{mounted}size={room}", "small", str(folder / "data")]
    mountable = subprocess.run(disk, capture_output=True).returncode == 0
    child = begin(folder, None if mountable else room, said)
    ended: int | None = None
    aim = plan.get("step")
    while ended is None:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            ended = os.waitstatus_to_exitcode(status)
        elif aim is not None and _reached(said) >= aim:
            time.sleep(plan.get("delay", 0.0))
            os.kill(child, signal.SIGKILL)
            aim = None
        else:
            time.sleep(0.01)
    for left in _group(child):  # workers of a killed run end by themselves; this waits until they have
        while _state(left) != "Z":
            time.sleep(0.02)
    return {"status": ended, "said": said.read_text("utf-8", "replace"), "full": "room" in plan and mountable}


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, in whole pages, as a disk in memory counts them."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def _reached(said: Path) -> float:
    steps = re.findall(r"step (\d+)/(\d+)", said.read_text("utf-8", "replace")) if said.exists() else []
    return int(steps[-1][0]) / int(steps[-1][1]) if steps else 0


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def _group(leader: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            group = int((folder / "stat").read_text().rpartition(")")[2].split()[2])
            tracks = b"resource_tracker" in (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if group == leader and not tracks:
            found.append(int(folder.name))
    return found


def run_all(folder: Path, plans: list[dict[str, Any]], whole: int = 0) -> list[dict[str, Any]]:
    """Make the attempts of a folder."""
    (folder / "data").mkdir(exist_ok=True)
    found = [attempt(folder, folder / f"said-{number}.txt", plan, whole) for number, plan in enumerate(plans)]
    shutil.copytree(folder / "data", folder / "results")
    return found


def main(alone: Path, *folders: Path) -> None:
    """Make all attempts."""
    plans = json.load(sys.stdin)
    os.chdir(alone)
    sys.path.insert(0, str(alone / "src"))
    import matplotlib.pyplot  # noqa: F401
    import torch._dynamo  # noqa: F401
    from kedro.framework.cli.cli import KedroCLI  # noqa: F401

    import lmim_kedro.hooks  # noqa: F401
    import lmim_kedro.models.start  # noqa: F401
    import lmim_kedro.reporting.sections  # noqa: F401
    import lmim_kedro.training.launch  # noqa: F401

    found = [run_all(alone, [{}])]
    whole = size_of(alone / "results")
    found += [run_all(folder, attempts, whole) for folder, attempts in zip(folders, plans, strict=True)]
    print(json.dumps(found))


if __name__ == "__main__":
    main(*(Path(folder).resolve() for folder in sys.argv[1:]))
