"""Where and in which precision training runs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from lmim_kedro.crops.ahead import cores
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
    """bfloat16 or float32; `auto` takes bfloat16 where the device computes in it, GPU or CPU."""
    if training.precision == "auto":
        return torch.bfloat16 if _computes_in_bf16(device) else torch.float32
    return torch.bfloat16 if training.precision == "bf16" else torch.float32


def _computes_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        abilities = torch.cpu.get_capabilities()
        return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
    return False


def attention_kernel(device: torch.device, precision: torch.dtype) -> AbstractContextManager[None]:
    """A context with the faster kernel of scaled_dot_product_attention.

    On a CPU in bfloat16 that is plain matrix products, for crops' few tokens: 0.4 of the flash kernel's time with 52
    tokens, about the same with 257. In float32 flash is faster, by a seventh with 257 (docs/performance.md).
    """
    plain = device.type == "cpu" and precision == torch.bfloat16
    return sdpa_kernel(SDPBackend.MATH) if plain else nullcontext()


def use_threads(count: int, of: int = 1) -> None:
    """Give torch that many CPU threads; 0: one per core that this process may use, shared by `of` processes."""
    torch.set_num_threads(count or max(1, cores() // of))
