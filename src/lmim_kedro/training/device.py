"""Chooses the device, the precision, the attention kernel and the threads of training."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from lmim_kedro.crops.ahead import cores
from lmim_kedro.errors import InputError
from lmim_kedro.params import TrainingParams


def named_device(name: str) -> torch.device:
    """The device of a name, which is not touched; `auto` is a GPU, or the CPU without one.

    Example:
        >>> named_device("cuda:1")
        device(type='cuda', index=1)
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise _unusable(name, error) from error


def pick_device(name: str, local_rank: int | None = None) -> torch.device:
    """The device of a name, ready for use. Errors: InputError if it cannot be used.

    Args:
        name: as in `training.device`.
        local_rank: number of this process among those of this machine; each has the GPU of its number, and makes no
            context on another.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    device = named_device(name)
    try:
        if device.type == "cuda" and local_rank is not None:
            device = torch.device("cuda", local_rank)
            torch.cuda.set_device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise _unusable(name, error) from error
    return device


def _unusable(name: str, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(f"training.device = {name!r} cannot be used here ({reason}): choose auto or cpu")


def pick_precision(training: TrainingParams, device: torch.device) -> torch.dtype:
    """bfloat16 or float32; `auto` is bfloat16 where the device, GPU or CPU, computes in it."""
    able = training.precision == "bf16"
    if training.precision == "auto" and device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    elif training.precision == "auto" and device.type == "cpu":
        abilities = torch.cpu.get_capabilities()
        able = bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
    return torch.bfloat16 if able else torch.float32


def attention_kernel(device: torch.device, precision: torch.dtype) -> AbstractContextManager[None]:
    """A context that selects the faster kernel of scaled_dot_product_attention; a deterministic one where torch is."""
    # On a CPU in bfloat16, plain matrix products take 0.4 of the flash kernel's time with 52 tokens, and the same with
    # 257. In float32 the flash kernel is faster, by a seventh with 257 tokens (docs/performance.md).
    if device.type == "cpu" and precision == torch.bfloat16:
        return sdpa_kernel(SDPBackend.MATH)
    if device.type == "cuda" and torch.are_deterministic_algorithms_enabled():
        # cuDNN's kernel, which an H100 takes, has no deterministic backward pass.
        return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
    return nullcontext()


def use_threads(count: int, of: int = 1) -> None:
    """Give torch `count` CPU threads; 0 is one per core that this process may use, shared by `of` processes."""
    torch.set_num_threads(count or max(1, cores() // of))
