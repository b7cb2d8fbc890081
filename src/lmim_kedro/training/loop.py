"""The loop that trains everything: teacher, LMIM, baselines, recognizer."""

import copy
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from lmim_kedro.crops.loader import CropBatch, CropLoader
from lmim_kedro.crops.randomness import derive_seed
from lmim_kedro.errors import InputError
from lmim_kedro.params import OptimizationParams, TrainingParams
from lmim_kedro.training.device import attention_kernel, pick_device, pick_precision, use_threads
from lmim_kedro.training.monitor import Clock, Display, Meter, operations
from lmim_kedro.training.optimizer import build_optimizer, set_learning_rate, update_average
from lmim_kedro.training.ranks import Ranks
from lmim_kedro.training.state import StateFolder, weights_digest
from lmim_kedro.training.validation import Validation

log = logging.getLogger(__name__)

STOP_EVERY = 10
"""Number of steps after which several processes exchange whether one of them was asked to stop."""

STOPPING = ("SIGTERM", "SIGINT", "SIGHUP")
"""Signals that ask a run to stop."""


class Task(Protocol):
    """A module to train, and how a batch becomes losses."""

    name: str

    @property
    def module(self) -> nn.Module:
        """The module, which is trained in place."""
        ...

    def loss(self, batch: CropBatch, epoch: int, forward: Callable[..., Any]) -> dict[str, Tensor]:
        """Scalars on the device of the module; `loss` is minimized, the others are recorded.

        Call `forward` instead of `module`: it is the module, compiled or wrapped for several processes.
        """
        ...


class Interrupted(InputError):
    """Training was asked to stop (SIGTERM, SIGINT, SIGHUP) and can continue from its newest checkpoint."""


def fit(
    task: Task,
    loader: CropLoader,
    optimization: OptimizationParams,
    training: TrainingParams,
    seed: int,
    state: StateFolder,
    ranks: Ranks | None = None,
    validation: Validation | None = None,
) -> pd.DataFrame:
    """Train a task to its end, starting from the newest checkpoint of the same recipe.

    All randomness inside a step is a function of (seed, step) or (seed, epoch, crop), so a run that was stopped gives
    the same losses as one that was not, bit for bit on the CPU.

    Args:
        task: the task; its module is trained in place.
        loader: crops of this process, the same number in every epoch.
        optimization: length, learning rate and the rest of the recipe.
        training: how this machine runs it.
        seed: seed of everything random.
        state: folder of the checkpoints.
        ranks: this process among several; None if it is the only one.
        validation: measures a recognizer on held-out crops and keeps its best step, which is the result. The first
            process does so while the others wait.

    Returns:
        the metrics table with a row every `log_every` steps: step, epoch, the task's scalars (means since the last row,
        over all processes), learning_rate, crops_per_second (of all processes), waiting (share of time spent waiting
        for crops), seconds (since the start of the run). With a validation, steps that are measured have a row and, in
        columns that are empty elsewhere, `validation_` and the name of the metric.

    Raises:
        InputError: if there are too few crops for a batch, a loss is not finite, or the run was interrupted.
    """
    if ranks is None:
        use_threads(training.threads)
        ranks = Ranks(pick_device(training.device))
    run = _Run(task, loader, optimization, training, seed, state, ranks, validation)
    with attention_kernel(ranks.device, run.precision), _stop_signals(ranks) as stop:
        return run.train(stop)


@dataclass
class _Run:
    """One call of `fit`."""

    task: Task
    loader: CropLoader
    optimization: OptimizationParams
    training: TrainingParams
    seed: int
    state: StateFolder
    ranks: Ranks
    validation: Validation | None = None

    def __post_init__(self) -> None:
        task, optimization, training, ranks = self.task, self.optimization, self.training, self.ranks
        self.per_epoch = self.loader.batches_per_epoch
        if self.per_epoch == 0:
            raise InputError(
                f"{task.name}: there are fewer crops than a batch of {optimization.batch_size} needs: "
                "lower batch_size or add crops"
            )
        self.total = optimization.steps or max(1, round((optimization.epochs or 0) * self.per_epoch))
        self.warmup: float = optimization.warmup_steps or (optimization.warmup_epochs or 0) * self.per_epoch
        self.module = task.module.to(ranks.device).train()
        self.optimizer = build_optimizer(self.module, optimization)
        self.average = AveragedModel(self.module) if optimization.ema else None
        self.precision = pick_precision(training, ranks.device)
        self.done, self.meter, self.clock = 0, Meter(), Clock()
        self.rows: list[dict[str, float]] = []
        self._restore()
        self.wrapped = ranks.wrap(self.module)
        self.forward: Callable[..., Any] = self.wrapped
        if training.compile:
            self.forward = torch.compile(self.wrapped)

    def train(self, stop: threading.Event) -> pd.DataFrame:
        """Take all remaining steps."""
        if self.done == self.total:
            return pd.DataFrame(self.rows)
        last_save = time.monotonic()
        # dict: in their order, each once
        loggers = dict.fromkeys(["tensorboard"] * self.training.tensorboard + self.training.loggers)
        given = self.task.name, self.total, self.done, self.ranks.device, self.ranks.first
        with Display(*given, loggers, self.state.path.parent) as display:
            for epoch, batch in self._batches():
                self._step(batch, epoch, display)
                measured = self._measure()
                last = self.done == self.total or self._ends_early()
                if self.done % self.training.log_every == 0 or last or measured:
                    self._add_row(display, measured)
                asked = self._asked_to_stop(stop) and not last
                minutes = (time.monotonic() - last_save) / 60
                due = self.done % self.training.checkpoint_steps == 0 or minutes >= self.training.checkpoint_minutes
                if (due or asked) and not last:
                    self._save()
                    last_save = time.monotonic()
                if asked:
                    raise Interrupted(
                        f"{self.task.name} was stopped at step {self.done:,} of {self.total:,} and has saved its state "
                        f"in {self.state.path}: give the same command again to go on"
                    )
                if last:
                    break
        if self.validation is not None:
            self.module.load_state_dict(self.validation.weights)
            self._say_which_step_stays(self.validation)
        elif self.average is not None:
            self.module.load_state_dict(self.average.module.state_dict())
        self._refuse_broken_weights()
        if self.ranks.first:
            self.state.finish(self.start, self.module, self.rows)
        return pd.DataFrame(self.rows)

    def _step(self, batch: CropBatch, epoch: int, display: Display) -> None:
        if display.wants_operations:
            # The plain module on one crop: what torch.compile meets first under a counter, it never compiles.
            one = batch.split(len(batch.images))[0]
            display.operations = len(batch.images) * operations(self.task, copy.deepcopy(self.module), one, epoch)
        draws = f"{self.task.name}, rank {self.ranks.rank}" if self.ranks.rank else self.task.name
        torch.manual_seed(derive_seed(self.seed, draws, self.done))  # dropout
        rate = self.optimization.learning_rate_at(self.done, self.total, self.warmup)
        set_learning_rate(self.optimizer, rate, self.done)
        self.optimizer.zero_grad(set_to_none=True)
        losses = self._backward(batch, epoch)
        if self.optimization.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.optimization.clip_norm)
        self.optimizer.step()
        self.done += 1
        if self.average is not None and self.optimization.ema is not None:
            update_average(self.average, self.module, self.optimization.ema, self.done)
        self.meter.add(self.ranks.mean(losses), len(batch.images) * self.ranks.world)
        display.step()

    def _backward(self, batch: CropBatch, epoch: int) -> dict[str, Tensor]:
        """Compute the gradients of a batch in `training.accumulate` parts; returns the mean losses."""
        parts = batch.split(self.training.accumulate)
        sums: dict[str, Tensor] = {}
        for number, part in enumerate(parts):
            # Processes average their gradients once a step, with the last part of the batch.
            waits = self.ranks.world > 1 and number + 1 < len(parts)
            with self.wrapped.no_sync() if waits else nullcontext():  # type: ignore[operator]
                with torch.autocast(self.ranks.device.type, self.precision, enabled=self.precision != torch.float32):
                    losses = self.task.loss(part, epoch, self.forward)
                share = len(part.images) / len(batch.images)
                (losses["loss"] * share).backward()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value.detach() * share
        return sums

    def _measure(self) -> dict[str, float]:
        """Measure the weights that would be the result now, if it is time; by name of their columns in the table."""
        validation = self.validation
        if validation is None or not (self.done % validation.params.every == 0 or self.done == self.total):
            return {}
        self._refuse_broken_weights()
        began = time.monotonic()
        module: Any = self.module if self.average is None else self.average.module
        measured = self.ranks.told(validation.measure(module) if self.ranks.first else None)
        validation.take(self.done, measured, module)
        self.clock.leave_out(time.monotonic() - began)
        return {f"validation_{name}": value for name, value in measured.items()}

    def _ends_early(self) -> bool:
        return self.validation is not None and self.validation.out_of_patience

    def _say_which_step_stays(self, validation: Validation) -> None:
        if self.ranks.first:
            ended = f", and ended at step {self.done:,}" if self.done < self.total else ""
            log.info(
                "%s keeps the weights of step %d of %d%s: %s %.4f on %d held-out crops",
                *(self.task.name, validation.step, self.total, ended),
                *(validation.params.metric, validation.best, len(validation.loader)),
            )

    def _add_row(self, display: Display, measured: dict[str, float]) -> None:
        values = self.meter.read()
        self._refuse_non_finite(values)
        passed, waiting = self.clock.row()
        group = self.optimizer.param_groups[-1]  # of the head, which learns from the first step on
        row = {
            "step": self.done,
            "epoch": round(self.done / self.per_epoch, 4),
            **values,
            "learning_rate": group["lr"] / group["scale"],
            "crops_per_second": self.meter.crops / passed,
            "waiting": waiting,
            "seconds": self.clock.seconds,
            **measured,
        }
        self.rows.append(row)
        display.row(row, self.meter.steps / passed)
        self.meter = Meter()

    def _asked_to_stop(self, stop: threading.Event) -> bool:
        if self.ranks.world > 1 and self.done % STOP_EVERY:
            return False
        return self.ranks.any(stop.is_set())

    def _batches(self) -> Iterator[tuple[int, CropBatch]]:
        """(epoch, batch) from the next step to the last."""
        epoch, first = divmod(self.done, self.per_epoch)
        while self.done < self.total:
            batches = self.loader.epoch(epoch, first)
            while self.done < self.total:
                asked = time.monotonic()
                batch = next(batches, None)
                self.clock.wait(time.monotonic() - asked)
                if batch is None:
                    break
                yield epoch, batch
            batches.close()
            epoch, first = epoch + 1, 0

    def _restore(self) -> None:
        self.start = weights_digest(self.module.state_dict())
        if self.ranks.first:
            if self.training.restart:
                self.state.clear()
            self.state.set_damaged_aside()
            self.state.forget_other_result(self.start)
        # The first process decides where to go on: another may see the folder later, on a network file system.
        finished, step = self.ranks.told((self.state.is_finished, self.state.newest_step))
        if finished:
            if (result := self.state.finished()) is None:
                raise InputError(f"{self.state.path} is not the same on all machines: let them share it")
            self.module.load_state_dict(result["module"])
            self.done, self.rows = self.total, result["rows"]
            if self.ranks.first:
                log.info("%s came to its end in the run that was stopped", self.task.name)
            return
        if step is None:
            return
        saved = self.state.load(self.start, step)
        self.module.load_state_dict(saved["module"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        if self.validation is not None:
            self.validation.restore(saved["validation"])
        self.done, self.rows = saved["step"], saved["rows"]
        self.meter = Meter.restored(saved["meter"], self.ranks.device)
        self.clock = Clock(saved["seconds"])
        if self.ranks.first:
            log.info("%s goes on at step %d of %d", self.task.name, self.done, self.total)

    def _save(self) -> None:
        if self.meter.steps:
            self._refuse_non_finite(self.meter.read())
        self._refuse_broken_weights()
        if self.ranks.first:
            extra = {"start": self.start, "rows": self.rows, "seconds": self.clock.seconds, "meter": self.meter.state()}
            if self.average is not None:
                extra["average"] = self.average.state_dict()
            if self.validation is not None:
                extra["validation"] = self.validation.state()
            self.state.save(self.done, self.module, self.optimizer, extra)

    def _refuse_broken_weights(self) -> None:
        """Check the weights: a gradient that is not finite shows in the loss only a step after the checkpoint."""
        whole = all(bool(parameter.isfinite().all()) for parameter in self.module.parameters())
        self._refuse_non_finite({"a weight": 0.0 if whole else math.nan})

    def _refuse_non_finite(self, values: dict[str, float]) -> None:
        wrong = [scalar for scalar, value in values.items() if not math.isfinite(value)]
        if wrong:
            raise InputError(
                f"{self.task.name}: {', '.join(wrong)} is not finite at step {self.done:,}; the last good checkpoint "
                f"stays in {self.state.path}: lower base_learning_rate, set clip_norm, or use training.precision=fp32"
            )


def heeds(name: str) -> bool:
    """Whether this system has a signal of that name and does not ignore it; nohup makes SIGHUP ignored.

    Example:
        >>> heeds("SIGNONE")
        False
    """
    return hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN


@contextmanager
def _stop_signals(ranks: Ranks) -> Iterator[threading.Event]:
    """An event that SIGTERM, SIGINT and SIGHUP set. Outside the main thread it is never set.

    A second signal of a kind interrupts at once if this is the only process. Each of several processes gets a signal
    twice, from the terminal or scheduler and from its launcher; there the second one changes nothing.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[int, Any] = {}

    def ask(number: int, _frame: object) -> None:
        stop.set()
        if ranks.world == 1:
            signal.signal(number, before[number])

    for number in (getattr(signal, name) for name in STOPPING if heeds(name)):
        before[number] = signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
