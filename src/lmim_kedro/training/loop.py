"""The loop that trains everything: teacher, LMIM and its baselines, recogniser."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd
import torch
from torch import Tensor, nn

from lmim_kedro.crops.loader import CropBatch, CropLoader
from lmim_kedro.crops.random import derive_seed
from lmim_kedro.errors import InputError
from lmim_kedro.params import OptimisationParams, TrainingParams
from lmim_kedro.progress import progress_bar
from lmim_kedro.training.device import attention_kernel, pick_device, pick_precision, use_threads
from lmim_kedro.training.optimiser import build_optimiser, set_learning_rate
from lmim_kedro.training.state import StateFolder

log = logging.getLogger(__name__)


class Task(Protocol):
    """What is trained: a module, and how a batch becomes losses."""

    name: str

    @property
    def module(self) -> nn.Module:
        """Trained in place."""
        ...

    def loss(self, batch: CropBatch, epoch: int, device: torch.device) -> dict[str, Tensor]:
        """Scalars on the device; `loss` is minimised, the others are recorded."""


@dataclass
class Meter:
    """Sums of the scalars since the last row of the metrics table, kept on the device: no synchronisation in a step."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    crops: int = 0

    def add(self, scalars: dict[str, Tensor], crops: int) -> None:
        """Count one step."""
        for name, value in scalars.items():
            value = value.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.steps += 1
        self.crops += crops

    def read(self) -> dict[str, float]:
        """Means over the steps counted; waits for the device."""
        return {name: value.item() / self.steps for name, value in self.sums.items()}


class Interrupted(InputError):
    """Training was asked to stop (SIGTERM, SIGINT) and has saved what it needs to go on."""


def fit(
    task: Task,
    loader: CropLoader,
    optimisation: OptimisationParams,
    training: TrainingParams,
    seed: int,
    state: StateFolder,
) -> pd.DataFrame:
    """Train a task to its end, going on from the newest checkpoint of the same recipe.

    All randomness inside a step is a function of (seed, step) or (seed, epoch, crop), so a run that was stopped gives
    the same losses as one that was not, bit for bit on the CPU.

    Args:
        task: what to train; its module is trained in place.
        loader: crops, the same number in every epoch.
        optimisation: length, learning rate and the rest of the recipe.
        training: how this machine runs it.
        seed: of everything random.
        state: where checkpoints go.

    Returns:
        the metrics table, a row every `log_every` steps: step, epoch, the task's scalars (means since the row before),
        learning_rate, crops_per_second, seconds (since the start of the run).

    Raises:
        InputError: too few crops for a batch; a loss that is not finite; the run was interrupted.
    """
    use_threads(training.threads)
    device = pick_device(training.device)
    precision = pick_precision(training, device)
    per_epoch = loader.batches_per_epoch
    if per_epoch == 0:
        raise InputError(
            f"{task.name}: there are fewer crops than a batch of {optimisation.batch_size} needs: "
            "lower batch_size or add crops"
        )
    total = optimisation.steps or max(1, round((optimisation.epochs or 0) * per_epoch))
    warmup: float = optimisation.warmup_steps or (optimisation.warmup_epochs or 0) * per_epoch
    module = task.module.to(device).train()
    optimiser = build_optimiser(module, optimisation)
    if training.restart:
        state.clear()
    rows: list[dict[str, float]] = []
    meter, done, seconds_before = Meter(), 0, 0.0
    if (saved := state.load()) is not None:
        module.load_state_dict(saved["module"])
        optimiser.load_state_dict(saved["optimiser"])
        done, rows, seconds_before = saved["step"], saved["rows"], saved["seconds"]
        meter = Meter({k: v.to(device) for k, v in saved["meter"]["sums"].items()}, *saved["meter"]["counts"])
        log.info("%s goes on at step %d of %d", task.name, done, total)
    started = last_row = last_save = time.monotonic()

    def save(step: int) -> None:
        values = meter.read() if meter.steps else {}
        _refuse_non_finite(values, task.name, step, state)
        extra = {
            "rows": rows,
            "seconds": seconds_before + time.monotonic() - started,
            "meter": {"sums": meter.sums, "counts": [meter.steps, meter.crops]},
        }
        state.save(step, module, optimiser, extra)

    with (
        attention_kernel(device),
        _stop_signals() as stop,
        progress_bar(total=total, initial=done, desc=task.name, unit="step") as bar,
    ):
        for epoch, batch in _batches(loader, done, total):
            torch.manual_seed(derive_seed(seed, task.name, done))  # dropout
            set_learning_rate(optimiser, optimisation.learning_rate_at(done, total, warmup))
            with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                losses = task.loss(batch, epoch, device)
            optimiser.zero_grad(set_to_none=True)
            losses["loss"].backward()
            if optimisation.clip_norm is not None:
                nn.utils.clip_grad_norm_(module.parameters(), optimisation.clip_norm)
            optimiser.step()
            done += 1
            meter.add(losses, len(batch.images))
            bar.update()
            if done % training.log_every == 0 or done == total:
                now = time.monotonic()
                values = meter.read()
                _refuse_non_finite(values, task.name, done, state)
                speed = meter.crops / (now - last_row)
                rows.append(
                    {
                        "step": done,
                        "epoch": round(done / per_epoch, 4),
                        **values,
                        "learning_rate": optimiser.param_groups[-1]["lr"] / optimiser.param_groups[-1]["scale"],
                        "crops_per_second": speed,
                        "seconds": seconds_before + now - started,
                    }
                )
                bar.set_postfix_str(f"loss {values['loss']:.4g}, {speed:,.0f} crops/s", refresh=False)
                meter, last_row = Meter(), now
            minutes = (time.monotonic() - last_save) / 60
            due = done % training.checkpoint_steps == 0 or minutes >= training.checkpoint_minutes
            if (due or stop.is_set()) and done < total:
                save(done)
                last_save = time.monotonic()
            if stop.is_set() and done < total:
                raise Interrupted(
                    f"{task.name} was stopped at step {done:,} of {total:,} and has saved its state in {state.path}: "
                    "give the same command again to go on"
                )
    state.clear()
    return pd.DataFrame(rows)


def _batches(loader: CropLoader, done: int, total: int) -> Iterator[tuple[int, CropBatch]]:
    """(epoch, batch) from step `done` to step `total`."""
    epoch, first = divmod(done, loader.batches_per_epoch)
    while done < total:
        for batch in loader.epoch(epoch, first):
            yield epoch, batch
            done += 1
            if done == total:
                return
        epoch, first = epoch + 1, 0


def _refuse_non_finite(values: dict[str, float], name: str, step: int, state: StateFolder) -> None:
    wrong = [scalar for scalar, value in values.items() if not math.isfinite(value)]
    if wrong:
        raise InputError(
            f"{name}: {', '.join(wrong)} is not finite at step {step:,}; the last good checkpoint stays in "
            f"{state.path}: lower base_learning_rate, set clip_norm, or use training.precision=fp32"
        )


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second SIGINT interrupts at once. Outside the main thread: never set."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[int, Any] = {}

    def ask(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[number])

    for number in (int(signal.SIGTERM), int(signal.SIGINT)):
        before[number] = signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
