"""A GPU that is not there: tensors without values, and a note of each time the host would wait for it."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import lmim_kedro
from lmim_kedro.crops import loader

SOURCE = str(Path(lmim_kedro.__file__).parent)
aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default}
WAITS = {aten.nonzero.default, aten.masked_select.default, aten.equal.default, aten._local_scalar_dense.default}


class Watch(TorchDispatchMode):
    """Notes what a GPU would make the host wait for.

    Attributes:
        device: stands for the GPU.
        notes: (file, function, what happened) by the innermost place in the project's source.
        operations: number of operations on the device, those that make a view of memory left out.
    """

    device = torch.device("meta")

    def __init__(self) -> None:
        super().__init__()
        self.notes: set[tuple[str, str, str]] = set()
        self.operations = 0
        self._pinned: list[Tensor] = []

    def pin(self, tensor: Tensor) -> Tensor:
        """A copy that counts as page-locked."""
        self._pinned.append(tensor.clone())
        return self._pinned[-1]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        there = [value for value in given if value.device == self.device]
        if there and func in WAITS:
            self.note(f"{func} waits for the device")
            return 1.0 if func is aten._local_scalar_dense.default else func(*args, **kwargs)
        if there and func not in COPIES and any(value.device != self.device and value.ndim for value in given):
            self.note(f"{func} of the host and the device together")
        made = func(*args, **kwargs)
        if func in COPIES:
            source, to = (args[0], made) if func is aten._to_copy.default else (args[1], args[0])
            non_blocking = kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
            self._check_copy(source, to, non_blocking)
        if isinstance(made, Tensor) and made.device == self.device and not func.is_view:
            self.operations += 1
        return made

    def _check_copy(self, source: Tensor, to: Tensor, non_blocking: bool) -> None:
        if source.device == self.device != to.device:
            self.note("copy from the device")
        if source.device != self.device == to.device:
            if not non_blocking:
                self.note("a copy to the device that the host waits for")
            elif not any(source is pinned for pinned in self._pinned):
                self.note("a copy to the device from pageable memory")

    def note(self, what: str) -> None:
        """Note what would make the host wait."""
        frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(SOURCE)]
        place = (Path(frames[-1].filename).name, frames[-1].name) if frames else ("", "")
        self.notes.add((*place, what))


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Gives a watch over all operations within; tensors on its device have no values."""
    watch = Watch()
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: watch.pin(tensor))
    own, new = torch.tensor, Tensor.new_tensor

    def noted(make: Any, *given: Any, **options: Any) -> Tensor:
        made = make(*given, **options)
        if made.device == watch.device:  # it takes its values there without passing by the watch
            watch.note("a copy of Python numbers that the host waits for")
        return made

    monkeypatch.setattr(torch, "tensor", partial(noted, own))
    monkeypatch.setattr(Tensor, "new_tensor", lambda *given, **options: noted(new, *given, **options))
    monkeypatch.setattr(loader, "PINNED_FOR", "meta")
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no such device
    with watch:
        yield watch
