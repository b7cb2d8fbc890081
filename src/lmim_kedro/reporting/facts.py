"""The machine and the versions that made a number."""

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn


def run_facts(model: nn.Module, device: str) -> dict[str, Any]:
    """Date (UTC), command, versions, machine, commit and model size, for the report.

    Args:
        model: model whose parameters are counted.
        device: the parameter training.device.
    """
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": _command(sys.argv),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "timm": version("timm"),
        "kedro": version("kedro"),
        "lmim_kedro": version("lmim-kedro"),
        "commit": _commit(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpu_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "device": device,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def _command(words: list[str]) -> str | None:
    """The command line if it is Kedro's, without the folder of the program; None for others, such as a notebook's."""
    program = Path(words[0])
    if program.name == "__main__.py":
        program = program.parent
    return shlex.join([program.name, *words[1:]]) if program.name == "kedro" else None


def _commit() -> str | None:
    """The commit of the source, with a + where the tree has changes; None outside a repository."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()
