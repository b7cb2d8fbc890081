"""Counts what a training step asks of a GPU, without one: launches and bytes moved, by kind and by part of the step.

    python -m benchmarks.count
    python -m benchmarks.count --batch 64 --json count.json
    python -m benchmarks.count --compiled

The step runs on tensors without values that carry torch's keys of a CUDA device, so that torch's own autocast casts
them as it would there. An operation counts as one launch that reads each tensor it is given and writes each one it
makes, once. A GPU differs from that in three ways: a few operations are two or three kernels (the backward pass of
LayerNorm, a convolution), matrix products and attention read their tiles more than once, and what fits in the L2 cache
costs no traffic. The attention kernel is chosen here (flash in bfloat16 without a mask, memory-efficient otherwise), as
that choice needs a GPU. With --compiled, it counts the kernels of the guidance views as torch.compile fuses them.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from benchmarks import data
from benchmarks.lowering import Kernels, kernels
from benchmarks.steps import OPTIMIZATION, PRECISIONS
from lmim_kedro.crops.loader import CropBatch
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.params import ModelParams, PretrainingParams
from lmim_kedro.registries import AUGMENTATIONS
from lmim_kedro.text.charset import Charset
from lmim_kedro.training.tasks import FinetuningTask, PretrainingTask
from lmim_kedro.views.draws import packed
from lmim_kedro.views.guidance import GuidanceViews, draw_all

aten = torch.ops.aten
META, CUDA = torch.device("meta"), torch.device("cuda")
OPTIMIZER_BYTES = 7 * 4  # AdamW reads weight, gradient and two moments of a parameter, and writes all but the gradient
KINDS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "convolution", "convolution_backward"),
    "attention": tuple(
        f"_scaled_dot_product_{kernel}_attention{ending}"
        for kernel in ("flash", "efficient")
        for ending in ("", "_backward")
    ),
    "norms": ("native_layer_norm", "native_layer_norm_backward"),
    "copies": ("clone", "copy_", "_to_copy", "cat", "stack", "gather", "scatter", "index_select", "index", "embedding"),
    "sums": ("sum", "mean", "var", "var_mean", "amax", "max", "min", "logsumexp", "_log_softmax", "argsort", "sort"),
}
EMPTY = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")


class OnGpu(Tensor):
    """A tensor without values that torch's dispatcher takes for one of a CUDA device; its `device` is meta."""

    plain: Tensor

    @classmethod
    def of(cls, plain: Tensor) -> OnGpu:
        """Stand for a tensor of the meta device on a GPU."""
        made = Tensor._make_subclass(cls, plain, device_for_backend_keys=CUDA)
        made.plain = plain
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return _run(func, args, kwargs or {})[0]


def _run(func: Any, args: Any, kwargs: Any) -> tuple[Any, list[Tensor], list[Tensor]]:
    """What an operation makes, the plain tensors that it was given, and those that it made."""
    plain_args, plain_kwargs = tree_map_only(OnGpu, lambda given: given.plain, (args, kwargs))
    made = func(*plain_args, **plain_kwargs)
    read, written = (
        [value for value in tree_leaves(values) if isinstance(value, Tensor)]
        for values in ((plain_args, plain_kwargs), made)
    )
    if func._schema.is_mutable:
        return (args[0] if plain_args and made is plain_args[0] else made), read, written
    return tree_map_only(Tensor, lambda value: OnGpu.of(value) if value.device == META else value, made), read, written


class Count(TorchDispatchMode):
    """Counts the operations within on tensors without values.

    Attributes:
        launches, bytes: by (part of the step, kind of operation).
        part: part of the step that is running.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[tuple[str, str]] = Counter()
        self.bytes: Counter[tuple[str, str]] = Counter()
        self.part = "forward"

    @contextmanager
    def within(self, part: str) -> Iterator[None]:
        """Count as a part of the step."""
        before, self.part = self.part, part
        try:
            yield
        finally:
            self.part = before

    def add(self, kind: str, moved: int, launches: int = 1) -> None:
        """Count launches that move that many bytes."""
        self.launches[self.part, kind] += launches
        self.bytes[self.part, kind] += moved

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made, read, written = _run(func, args, kwargs)
        if any(value.device == META for value in written):
            self._count(func, read, written)
        return made

    def _count(self, func: Any, read: list[Tensor], written: list[Tensor]) -> None:
        name = func._schema.name.removeprefix("aten::")
        storages = {value.untyped_storage()._cdata for value in read}
        if not func._schema.is_mutable and all(value.untyped_storage()._cdata in storages for value in written):
            self.add("views", 0)
        elif name not in EMPTY:
            self.add(_kind(name, read, written), sum(map(_size, read)) + sum(map(_size, written)))


def _kind(name: str, read: list[Tensor], written: list[Tensor]) -> str:
    if name in ("_to_copy", "copy_") and read[-1].device == META and read[-1].dtype != written[0].dtype:
        return "casts"
    return next((kind for kind, names in KINDS.items() if name in names), "elementwise")


def _size(tensor: Tensor) -> int:
    """Bytes that a kernel touches: one that is expanded is read from the cache after the first time."""
    if tensor.device != META:
        return 0
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


LOWER = {"linear", "matmul", "mm", "bmm", "addmm", "baddbmm", "conv2d", "convolution"} | set(KINDS["attention"])
FLOAT32 = {"layer_norm", "mse_loss", "nll_loss", "pow", "rsqrt", "reciprocal", "exp", "log", "norm", "logsumexp"}
FLOAT32_RESULT = {"softmax", "log_softmax", "sum", "prod", "cumsum", "cumprod"}
WIDEST = {"cat", "stack", "addcmul", "addcdiv", "grid_sampler", "scatter_add"}


@contextmanager
def autocast_of_cuda() -> Iterator[None]:
    """Within, the rules of CUDA's autocast hold for tensors without values, which torch's own rules pass over.

    The sets above are those rules, as far as a training step needs them (aten/src/ATen/autocast_mode.h); another
    operation that torch has a rule for ends in an error.
    """
    cache: dict[int, Tensor] = {}
    library = torch.library.Library("aten", "IMPL")

    def cast(value: Any, dtype: torch.dtype) -> Any:
        if not isinstance(value, OnGpu) or not value.is_floating_point() or value.dtype in (dtype, torch.float64):
            return value
        if not (value.is_leaf and value.requires_grad and dtype != torch.float32):
            return value.to(dtype)
        if id(value) not in cache:  # a weight is cast once a step
            cache[id(value)] = value.to(dtype)
        return cache[id(value)]

    def rule(name: str, function: Any) -> Callable[..., Any]:
        def with_casts(*args: Any, **kwargs: Any) -> Any:
            keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCUDA)
            with torch._C._ExcludeDispatchKeyGuard(keys):
                found = [value for value in tree_leaves((args, kwargs)) if isinstance(value, OnGpu)]
                floats = {value.dtype for value in found if value.is_floating_point()}
                dtype = None
                if name in LOWER:
                    dtype = torch.get_autocast_dtype("cuda")
                elif name in FLOAT32 or (name in WIDEST and torch.float32 in floats):
                    dtype = torch.float32
                elif name in FLOAT32_RESULT and floats:
                    place = [argument.name for argument in function._schema.arguments].index("dtype")
                    chosen = args[place] if len(args) > place else kwargs.pop("dtype", None)
                    args, kwargs["dtype"] = args[:place], chosen or torch.float32
                elif name not in FLOAT32_RESULT | WIDEST and found:
                    raise NotImplementedError(f"autocast has a rule for {name} that the count lacks: put it in a set")
                if dtype is not None:
                    args, kwargs = tree_map_only(OnGpu, lambda value: cast(value, dtype), (args, kwargs))
                return function(*args, **kwargs)

        return with_casts

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that a rule of its own is replaced
        for full in torch._C._dispatch_get_registrations_for_dispatch_key("AutocastCUDA"):
            packet, _, overload = full.partition("::")[2].partition(".")
            if full.startswith("aten::"):
                function = getattr(getattr(aten, packet), overload or "default")
                library.impl(full.removeprefix("aten::"), rule(packet, function), "AutocastCUDA", allow_override=True)
    try:
        with (
            patch("torch.autocast", partial(_autocast, cache)),
            patch("torch.nn.functional.scaled_dot_product_attention", _attention),
        ):
            yield
    finally:
        library._destroy()


@contextmanager
def _autocast(
    cache: dict[int, Tensor], device_type: str, dtype: torch.dtype = torch.bfloat16, enabled: bool = True
) -> Iterator[None]:
    """torch.autocast of a CUDA device that is not there; the cache of cast weights lasts as long as the outermost."""
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", enabled)
    torch.set_autocast_dtype("cuda", dtype)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", before[0])
        torch.set_autocast_dtype("cuda", before[1])
        if not before[0]:
            cache.clear()


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """F.scaled_dot_product_attention with the kernel that a GPU would take."""
    lower = torch.is_autocast_enabled("cuda") or query.dtype == torch.bfloat16
    if lower and attn_mask is None:
        return aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, scale=scale)[0]
    if attn_mask is not None:
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill(~attn_mask, -math.inf)
        attn_mask = attn_mask.expand(*query.shape[:3], key.shape[2])
    given = query, key, value, attn_mask, query.requires_grad, dropout_p, is_causal
    return aten._scaled_dot_product_efficient_attention(*given, scale=scale)[0]


def without_values(module: nn.Module) -> None:
    """Take the values out of a module, in place."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                empty = OnGpu.of(torch.empty_like(parameter, device=META))
                part._parameters[name] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = OnGpu.of(torch.empty_like(buffer, device=META))


def pretraining(model: ModelParams) -> PretrainingTask:
    """Pre-training of LMIM with medium views."""
    pretraining = PretrainingParams.model_validate(
        {"teacher": {"optimization": OPTIMIZATION}, "optimization": OPTIMIZATION}
    )
    return PretrainingTask("pre-training", LMIM(model, pretraining, Encoder(model)), GuidanceViews(data.MEDIUM), 0)


def finetuning(model: ModelParams) -> FinetuningTask:
    """Fine-tuning with ABINet's augmentation."""
    augmentation = AUGMENTATIONS["abinet"](model.image_height, model.image_width)
    return FinetuningTask(Recognizer(model, Charset.named("english_94")), augmentation, 0)


TASKS: dict[str, Callable[[ModelParams], Any]] = {"pre-training": pretraining, "fine-tuning": finetuning}


def count_step(task: Any, crops: int, precision: torch.dtype) -> Count:
    """Count one training step: views, forward and backward pass, AdamW.

    Args:
        task: of `fit`; its module loses its values.
        crops: in the batch.
        precision: float32, or bfloat16 by autocast.
    """
    count, module = Count(), task.module.train()
    model = module.model
    draws = "views" if isinstance(task, PretrainingTask) else "augmentation"
    draw = getattr(task, draws)

    def counted_draw(*given: Any, **options: Any) -> Tensor:
        with count.within(draws):
            return draw(*given, **options)

    setattr(task, draws, counted_draw)
    images = torch.zeros(crops, 3, model.image_height, model.image_width, dtype=torch.uint8)
    batch = CropBatch(images, torch.ones(crops), torch.arange(crops), ["lettering"] * crops)
    without_values(module)
    with autocast_of_cuda(), count:
        with torch.autocast("meta", dtype=precision, enabled=precision != torch.float32):
            losses = task.loss(batch, 0, module)
        with count.within("backward"):
            losses["loss"].backward()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    with count.within("optimizer"):
        # Chunks of 65,536 numbers; at most 36 tensors and 320 chunks a launch (torch's multi_tensor_apply).
        chunks = sum(math.ceil(parameter.numel() / 65536) for parameter in trained)
        launches = max(math.ceil(len(trained) / 36), math.ceil(chunks / 320))
        count.add("AdamW", OPTIMIZER_BYTES * sum(parameter.numel() for parameter in trained), launches)
    return count


def compiled_views(crops: int) -> Kernels:
    """Count the kernels of medium guidance views, drawn as one graph."""
    draw, index = GuidanceViews(data.MEDIUM), np.arange(crops)
    drawn = draw.policy.draw(seed=0, epoch=0, index=index)
    kinds, given = packed(draw.colors(drawn))
    geometry = draw.geometry(drawn, torch.ones(crops))
    assert geometry is not None

    def views(images: Tensor, given: Tensor, *maps: Tensor) -> Tensor:
        return draw_all(images, kinds, given, maps)

    images = torch.zeros(crops, 3, 32, 128, dtype=torch.uint8)
    return kernels(views, images, torch.from_numpy(given), *geometry.parts())


def table(counts: dict[str, Count], axis: int) -> list[str]:
    """A Markdown table with a row for each part (axis 0) or kind (axis 1), and a pair of columns for each count."""
    rows = list(dict.fromkeys(key[axis] for count in counts.values() for key in count.launches))
    if axis:
        rows = [kind for kind in (*KINDS, "elementwise", "casts", "AdamW", "views") if kind in rows]
    lines = [
        "| | " + " | ".join(f"{name}: launches | GB" for name in counts) + " |",
        "| --- | " + " | ".join("---: | ---:" for _ in counts) + " |",
    ]
    for row in rows:
        cells = []
        for count in counts.values():
            keys = [key for key in count.launches if key[axis] == row]
            launched = sum(count.launches[key] for key in keys if key[1] != "views" or axis)
            cells.append(f"{launched:,} | {sum(count.bytes[key] for key in keys) / 1e9:.1f}")
        lines.append(f"| {row} (no launch) | " if axis and row == "views" else f"| {row} | ")
        lines[-1] += " | ".join(cells) + " |"
    sums = [
        f"{sum(launched for key, launched in count.launches.items() if key[1] != 'views'):,} | "
        f"{sum(count.bytes.values()) / 1e9:.1f}"
        for count in counts.values()
    ]
    return [*lines, "| **sum** | " + " | ".join(sums) + " |"]


def main(arguments: list[str] | None = None) -> int:
    """Count, print, and write what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.count", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=512, help="crops of a step (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts as a list")
    parser.add_argument("--compiled", action="store_true", help="count the compiled guidance views instead")
    options = parser.parse_args(arguments)
    if options.compiled:
        count = compiled_views(options.batch)
        what = f"{count.launches} launches, {count.bytes / 1e9:.1f} GB"
        print(f"Guidance views of {options.batch} crops, compiled: {what}")
        return 0
    found = []
    for name, make in TASKS.items():
        counts = {
            precision: count_step(make(ModelParams()), options.batch, dtype) for precision, dtype in PRECISIONS.items()
        }
        print(f"**{name.capitalize()}**, ViT-S, a step of {options.batch} crops:\n")
        print("\n".join([*table(counts, 1), "", *table(counts, 0), ""]))
        for precision, count in counts.items():
            for (part, kind), launches in count.launches.items():
                row = {"task": name, "precision": precision, "part": part, "kind": kind, "launches": launches}
                found.append({**row, "bytes": count.bytes[part, kind]})
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
