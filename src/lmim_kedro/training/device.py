"""Where and in which precision training runs."""

from __future__ import annotations

import os

import torch

from lmim_kedro.errors import InputError
from lmim_kedro.params import TrainingParams


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` is the first GPU there is, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"training.device = {name!r} cannot be used here ({reason}): choose auto or cpu") from error
    return device


def pick_precision(training: TrainingParams, device: torch.device) -> torch.dtype:
    """bfloat16 or float32; `auto` takes bfloat16 on a GPU that computes in it."""
    if training.precision == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if training.precision == "bf16" else torch.float32


def use_threads(count: int) -> None:
    """Give torch that many CPU threads; 0: one per core that this process may use."""
    torch.set_num_threads(count or len(os.sched_getaffinity(0)))
