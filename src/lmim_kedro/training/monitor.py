"""Shows a run while it trains: the metrics table, the progress bar, the loggers."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lmim_kedro.crops.loader import CropBatch
from lmim_kedro.errors import InputError
from lmim_kedro.progress import progress_bar
from lmim_kedro.registries import LOGGERS

PEAK_FLOPS = {  # dense bfloat16 operations per second, from the makers' data sheets; the longest matching name counts
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "A40": 150e12,
    "A10": 125e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


@dataclass
class Meter:
    """Sums of the scalars since the last row of the metrics table, kept on the device so that no step waits for it.

    Example:
        >>> meter = Meter()
        >>> for loss in (1.0, 3.0):
        ...     meter.add({"loss": torch.tensor(loss)}, crops=8)
        >>> meter.read(), meter.crops
        ({'loss': 2.0}, 16)
    """

    sums: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    crops: int = 0

    def add(self, scalars: dict[str, Tensor], crops: int) -> None:
        """Count one step of `crops` crops."""
        for name, value in scalars.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.steps += 1
        self.crops += crops

    def read(self) -> dict[str, float]:
        """Means over the counted steps; waits for the device."""
        return {name: value.item() / self.steps for name, value in self.sums.items()}

    def state(self) -> dict[str, Any]:
        """Its content, for a checkpoint."""
        return {"sums": self.sums, "counts": [self.steps, self.crops]}

    @classmethod
    def restored(cls, state: dict[str, Any], device: torch.device) -> Self:
        """The meter of a checkpoint."""
        return cls({name: value.to(device) for name, value in state["sums"].items()}, *state["counts"])


class Logger(Protocol):
    """Where the rows of the metrics table go: `registries.LOGGERS` has a function `folder: Path -> Logger` per name."""

    def write(self, step: int, row: dict[str, float]) -> None:
        """Log a row: its scalars by name, with `step` among them."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


class TensorBoard:
    """Writes event files to a folder. Errors: InputError where TensorBoard is not installed."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(
                "training.tensorboard needs TensorBoard: pip install -e '.[tensorboard]', or set it to false"
            ) from error
        self._writer = SummaryWriter(str(folder))
        self.close = self._writer.close

    def write(self, step: int, row: dict[str, float]) -> None:
        """Add every scalar of a row but the step itself."""
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, value, step)


class Display:
    """The progress bar, and the loggers; neither where `shown` is False (every rank but the first).

    Args:
        name: name of the run.
        total: steps of the whole run.
        done: steps done before.
        device: its memory and utilization are shown, if it is a GPU.
        shown: whether to show anything.
        loggers: names of the loggers.
        folder: folder with a folder for each logger, which has one for each run.
    """

    def __init__(
        self, name: str, total: int, done: int, device: torch.device, shown: bool, loggers: Iterable[str], folder: Path
    ) -> None:
        self._device, self.operations = device, 0.0
        self._peak = peak_flops(device)
        self._bar = progress_bar(total, initial=done, desc=name, unit="step") if shown else None
        self._loggers: list[Logger] = [LOGGERS[kind](folder / kind / name) for kind in loggers] if shown else []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        for logger in self._loggers:
            logger.close()

    @property
    def wants_operations(self) -> bool:
        """Whether to set `operations`, which the model-FLOPs utilization (MFU) needs."""
        return self._peak is not None and not self.operations

    def step(self) -> None:
        """Count a step."""
        if self._bar is not None:
            self._bar.update()

    def row(self, row: dict[str, float], steps_per_second: float) -> None:
        """Show a new row of the metrics table."""
        if self._bar is not None:
            text = f"loss {row['loss']:.4g}, {row['crops_per_second']:,.0f} crops/s"
            if self._device.type == "cuda":
                text += f", {torch.cuda.max_memory_allocated(self._device) / 2**30:.1f} GiB"
            if self._peak is not None and self.operations:
                text += f", MFU {self.operations * steps_per_second / self._peak:.0%}"
            self._bar.set_postfix_str(text, refresh=False)
        for logger in self._loggers:
            logger.write(int(row["step"]), row)


class Clock:
    """Seconds since the start of a run, over all its parts, and the share of them spent waiting for crops."""

    def __init__(self, before: float = 0.0) -> None:
        self._before, self._start = before, time.monotonic()
        self._row, self._waited = self._start, 0.0

    @property
    def seconds(self) -> float:
        """Seconds of the whole run."""
        return self._before + time.monotonic() - self._start

    def wait(self, seconds: float) -> None:
        """Count time spent waiting for a batch."""
        self._waited += seconds

    def leave_out(self, seconds: float) -> None:
        """Count the time that has just passed for the run, and not for the speed of the next row."""
        self._row += seconds

    def row(self) -> tuple[float, float]:
        """Seconds since the last call, and the share of them spent waiting."""
        now = time.monotonic()
        passed, waited = now - self._row, self._waited
        self._row, self._waited = now, 0.0
        return passed, waited / passed


def operations(task: Any, module: nn.Module, batch: CropBatch, epoch: int = 0) -> float:
    """Count the floating-point operations of matrix products, per crop, in a training step of `module`.

    It leaves gradients in the module, and draws from torch's generator (dropout).
    """
    # The counter does not know a CPU's fused attention, so attention runs as plain matrix products here. Nothing may be
    # compiled: what torch.compile meets first under a counter, it never compiles.
    plain = torch.compiler.set_stance("force_eager")
    with plain, sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        task.loss(batch, epoch, module)["loss"].backward()
    return counter.get_total_flops() / len(batch.images)


def peak_flops(device: torch.device) -> float | None:
    """Peak of dense bfloat16 operations per second of a GPU; None for a CPU or a GPU that is not in the table."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    known = [key for key in PEAK_FLOPS if key in name]
    return PEAK_FLOPS[max(known, key=len)] if known else None
