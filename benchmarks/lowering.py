"""Counts the kernels that torch.compile would make for a GPU, without one, and without Triton."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import MagicMock, patch

import torch
from torch import Tensor
from torch._inductor.decomposition import select_decomp_table
from torch._inductor.graph import GraphLowering
from torch._inductor.runtime.hints import DeviceProperties
from torch._inductor.virtualized import V
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_map_only

CUDA = torch.device("cuda", 0)
H100: dict[str, Any] = {
    "type": "cuda",
    "index": 0,
    "multi_processor_count": 132,
    "cc": 90,
    "major": 9,
    "regs_per_multiprocessor": 65536,
    "max_threads_per_multi_processor": 2048,
    "warp_size": 32,
}


class Kernels(NamedTuple):
    """What a compiled function asks of a GPU: launches, and the bytes that they move."""

    launches: int
    bytes: int


def kernels(function: Callable[..., Tensor], *inputs: Tensor) -> Kernels:
    """Count the kernels of a function of tensors that needs no gradients, as torch.compile fuses them for an H100.

    Inductor writes its Triton code here and nobody runs it. An operation that it leaves to torch counts as one launch.

    Example:
        >>> kernels(lambda x: (x.sin() + 1).sum(), torch.ones(100)).launches
        1
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def moved(value: Tensor) -> Tensor:
        with mode:
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=CUDA)

    with mode:
        given = [torch.empty_strided(value.shape, value.stride(), dtype=value.dtype) for value in inputs]
    with torch.no_grad(), mode:
        functional = torch.func.functionalize(function, remove="mutations")
        traced = make_fx(functional, decomposition_table=select_decomp_table())(*given)
    traced.graph.eliminate_dead_code()
    for node in traced.graph.nodes:  # traced for a CPU, since a torch without CUDA cannot run on its tensors
        if "val" in node.meta:
            node.meta["val"] = tree_map_only(Tensor, moved, node.meta["val"])
        if "device" in node.kwargs:
            node.kwargs = {**node.kwargs, "device": CUDA}
    traced.recompile()
    there = [moved(value) for value in given]
    graph = GraphLowering(traced, example_inputs=there, is_inference=True)
    with _an_h100(), V.set_graph_handler(graph), V.set_fake_mode(mode), V.set_debug_handler(MagicMock()):
        graph.run(*there)
        code: Any = graph.codegen()[0]
        moved_bytes = graph.count_bytes()[0]
    return Kernels(_launches(getattr(code, "value", code)), int(moved_bytes))


def _launches(code: str) -> int:
    """Launches in the code that Inductor wrote: its own kernels, and torch's."""
    called = re.findall(
        r"^ +(?:\w+ = )?(?:\w+\.run|extern_kernels\.\w+|torch\.ops\.aten\.[\w.]+)\(", code, re.MULTILINE
    )
    return len(called)


@contextmanager
def _an_h100() -> Iterator[None]:
    """Within, Inductor takes this machine for one with an H100 and Triton."""
    told: Sequence[tuple[str, Any]] = [
        ("torch.cuda.is_available", True),
        ("torch.cuda.current_device", 0),
        ("torch.cuda.device_count", 1),
        ("torch.cuda.get_device_capability", (9, 0)),
        ("torch.cuda.get_device_properties", MagicMock(major=9, minor=0)),
        ("torch._inductor.runtime.hints.DeviceProperties.create", DeviceProperties(**H100)),
        ("torch._inductor.scheduler.has_triton", True),
        ("torch.utils._triton.has_triton", True),
        ("torch.utils._triton.triton_hash_with_backend", ""),
    ]
    with ExitStack() as stack:
        for name, answer in told:
            stack.enter_context(patch(name, lambda *_, answer=answer, **__: answer))
        yield
