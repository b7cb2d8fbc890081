"""The loop: what it records, how it stops, and that a stopped run goes on as if it had not been."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lmim_kedro.crops.loader import CropLoader
from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.params import OptimizationParams, ViewPreset
from lmim_kedro.training import loop, monitor
from lmim_kedro.training.loop import Interrupted, fit
from lmim_kedro.training.state import StateFolder, forget_finished
from lmim_kedro.training.tasks import PretrainingTask
from lmim_kedro.views.guidance import GuidanceViews

ADAMW = {"betas": (0.9, 0.95), "weight_decay": 0.05, "layer_decay": 1.0}

RECIPE = {"seed": 0}


class StopAfter(PretrainingTask):
    """Sends itself a signal in the middle of a step."""

    stop_at, number, calls = 0, signal.SIGTERM, 0

    def loss(self, batch, epoch, forward):
        self.calls += 1
        if self.calls == self.stop_at:
            os.kill(os.getpid(), self.number)
        return super().loss(batch, epoch, forward)


class BreakAfter(PretrainingTask):
    """Gives a loss that is not a number from some step on."""

    calls = 0

    def loss(self, batch, epoch, forward):
        self.calls += 1
        losses = super().loss(batch, epoch, forward)
        return {**losses, "loss": losses["loss"] * (float("nan") if self.calls > 7 else 1.0)}


class BreakGradient(PretrainingTask):
    """Gives a gradient that is not a number in the fifth step, whose loss is one."""

    calls = 0

    def loss(self, batch, epoch, forward):
        self.calls += 1
        if self.calls == 5:
            one = torch.zeros_like(self.module.mask_token)
            one[..., 0] = float("nan")  # of the many numbers of one parameter
            self.module.mask_token.register_hook(lambda gradient: gradient + one)
        return super().loss(batch, epoch, forward)


@pytest.fixture
def run(store, size, pretraining, optimization, training, tmp_path):
    """Trains a small LMIM into a state folder and returns its metrics and final weights."""

    def train(folder="state", task=PretrainingTask, recipe=RECIPE, threads=2, settings=None, ema=None, **changes):
        torch.manual_seed(0)
        model = LMIM(size, pretraining, Encoder(size))
        views = GuidanceViews(ViewPreset(rotate=15, crop_vertical=0.1, contrast=(0.5, 1.0), blur=(0.5, 1.5)))
        loader = CropLoader(store, height=32, width=128, batch_size=8, seed=1, threads=threads)
        given = task("pre-training", model, views, 5)
        for name, value in changes.items():
            setattr(given, name, value)
        state = StateFolder(tmp_path / folder, recipe, 2)
        chosen = optimization.model_copy(update={"ema": ema})
        metrics = fit(given, loader, chosen, training.model_copy(update=settings or {}), 0, state)
        return metrics, model.state_dict()

    return train


@pytest.fixture
def handled():
    """Sets the handler of a signal for the length of a test."""
    before = {}

    def handle(number, handler):
        before[number] = signal.signal(number, handler)

    yield handle
    for number, handler in before.items():
        signal.signal(number, handler)


def losses(metrics: pd.DataFrame) -> list[float]:
    return metrics["loss"].tolist()


@pytest.mark.parametrize("stop_at", [1, 4, 5, 9, 11])
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit(run, stop_at):
    whole, weights = run("whole")
    with pytest.raises(Interrupted, match=f"stopped at step {stop_at} of 12.*same command again"):
        run(task=StopAfter, stop_at=stop_at)
    resumed, resumed_weights = run(threads=1)
    assert losses(resumed) == losses(whole)
    assert all(torch.equal(weights[name], resumed_weights[name]) for name in weights)


def test_the_result_is_the_average_of_the_weights_and_training_itself_is_as_without_it(run):
    steps: list[dict[str, torch.Tensor]] = []

    class Keep(PretrainingTask):
        def loss(self, batch, epoch, forward):
            steps.append({name: value.clone() for name, value in self.module.state_dict().items()})
            return super().loss(batch, epoch, forward)

    plain, last = run("plain", task=Keep)
    averaged, result = run("averaged", ema=0.6)
    assert losses(averaged) == losses(plain)
    after = [*steps[1:], last]  # the weights after each of 12 steps
    for name in last:
        expected = after[0][name]
        for step, weights in enumerate(after[1:], start=2):
            decay = min(0.6, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * weights[name]
        torch.testing.assert_close(result[name], expected, atol=1e-6, rtol=1e-5)
    assert not torch.equal(result["mask_token"], last["mask_token"])


def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(run, tmp_path, caplog):
    caplog.set_level(logging.INFO, "lmim_kedro")
    whole, weights = run("whole")
    with pytest.raises(Interrupted):
        run(task=StopAfter, stop_at=7)
    newest = tmp_path / "state/step-00000007.pt"
    newest.write_bytes(newest.read_bytes()[:-20])
    resumed, resumed_weights = run()
    assert "goes on at step 5 of 12" in caplog.text and "step-00000007.pt.damaged" in caplog.text
    assert losses(resumed) == losses(whole)
    assert all(torch.equal(weights[name], resumed_weights[name]) for name in weights)


@pytest.mark.parametrize("stop_at", [1, 7])
def test_a_resumed_run_has_the_same_average(run, stop_at):
    _, weights = run("whole", ema=0.9)
    with pytest.raises(Interrupted):
        run(task=StopAfter, stop_at=stop_at, ema=0.9)
    _, resumed = run(ema=0.9)
    _, finished = run(task=BreakAfter, calls=100, ema=0.9)
    for name, value in weights.items():
        assert torch.equal(value, resumed[name]) and torch.equal(value, finished[name])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_save_as_well(number, run, tmp_path, handled):
    handled(number, signal.default_int_handler)  # whatever the tests were started with
    with pytest.raises(Interrupted):
        run(task=StopAfter, stop_at=3, number=number)
    assert [path.name for path in (tmp_path / "state").glob("step-*")] == ["step-00000003.pt"]


def test_a_signal_that_is_ignored_as_under_nohup_stops_nothing(run, handled):
    handled(signal.SIGHUP, signal.SIG_IGN)
    metrics, _ = run(task=StopAfter, stop_at=3, number=signal.SIGHUP)
    assert len(metrics) == 12


def test_a_finished_run_leaves_its_result_and_the_same_command_does_not_train_again(run, tmp_path):
    metrics, weights = run()
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["SHA256SUMS", "finished.pt", "recipe.json"]
    again, same = run(task=BreakAfter, calls=100)  # a step of it would end in an error
    pd.testing.assert_frame_equal(again, metrics)
    assert all(torch.equal(weights[name], same[name]) for name in weights)


@pytest.mark.parametrize("other", ["recipe", "weights", "restart"])
def test_another_recipe_other_weights_or_a_restart_train_anew_after_a_finished_run(other, run, monkeypatch):
    run()
    if other == "weights":
        monkeypatch.setattr(torch, "manual_seed", lambda _: None)  # so the model begins with other weights
    recipe = {"seed": 1} if other == "recipe" else RECIPE
    with pytest.raises(InputError, match="loss is not finite"):
        run(task=BreakAfter, calls=100, recipe=recipe, settings={"restart": other == "restart"})


def test_results_are_forgotten_when_all_that_needs_them_is_saved_and_a_stopped_run_is_not(run, tmp_path):
    run("state/teacher")
    with pytest.raises(Interrupted):
        run("state/pre-training", task=StopAfter, stop_at=3)
    forget_finished(tmp_path / "state")
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["pre-training"]
    forget_finished(tmp_path / "nothing")


def test_a_stopped_run_is_not_continued_from_other_weights(run, monkeypatch):
    with pytest.raises(Interrupted):
        run(task=StopAfter, stop_at=3)
    with monkeypatch.context() as patched:
        patched.setattr(torch, "manual_seed", lambda _: None)  # so the model begins with other weights
        with pytest.raises(InputError, match=r"began with other weights.*training\.restart=true"):
            run()
    metrics, _ = run()
    assert len(metrics) == 12


def test_another_recipe_is_refused_with_the_difference(run, tmp_path):
    with pytest.raises(Interrupted):
        run(task=StopAfter, stop_at=3)
    with pytest.raises(InputError, match=r"seed was 0, is 1.*training\.restart=true"):
        run(recipe={"seed": 1})


def test_a_loss_that_is_not_finite_stops_training_and_keeps_the_last_good_checkpoint(run, tmp_path):
    with pytest.raises(InputError, match="loss is not finite at step 8.*last good checkpoint"):
        run(task=BreakAfter)
    assert [path.name for path in (tmp_path / "state").glob("step-*")] == ["step-00000005.pt"]


def test_weights_that_are_not_finite_are_no_checkpoint(run, tmp_path):
    with pytest.raises(InputError, match="a weight is not finite at step 5"):
        run(task=BreakGradient)
    assert not list((tmp_path / "state").glob("step-*"))


@pytest.mark.parametrize("parts", [1, 2])
def test_a_row_holds_the_mean_of_what_the_task_computed(run, parts):
    computed = []

    class Noted(PretrainingTask):
        def loss(self, batch, epoch, forward):
            losses = super().loss(batch, epoch, forward)
            computed.append(losses["loss"].item())
            return losses

    metrics, _ = run(task=Noted, settings={"accumulate": parts})
    means = np.array(computed).reshape(-1, parts).mean(1)
    assert metrics["loss"].tolist() == pytest.approx(means.tolist(), rel=1e-5)


def test_operations_of_a_step_are_those_of_its_crops(run, monkeypatch):
    shown = []
    display = loop.Display

    def kept(*given):
        shown.append(display(*given))
        return shown[-1]

    monkeypatch.setattr(loop, "Display", kept)
    monkeypatch.setattr(monitor, "peak_flops", lambda _device: 1e12)
    monkeypatch.setattr(loop, "operations", lambda *_: 5.0)
    run()
    assert [each.operations for each in shown] == [8 * 5.0]


def test_every_step_has_dropout_of_its_own(run):
    drawn = []

    class Draw(PretrainingTask):
        def loss(self, batch, epoch, forward):
            drawn.append(torch.rand(1).item())
            return super().loss(batch, epoch, forward)

    run(task=Draw)
    assert len(set(drawn)) == 12


def test_views_and_masks_of_every_pass_over_the_crops_are_drawn_for_that_epoch(run):
    epochs = []

    class Note(PretrainingTask):
        def loss(self, batch, epoch, forward):
            epochs.append(epoch)
            return super().loss(batch, epoch, forward)

    run(task=Note)
    assert epochs == [0] * 5 + [1] * 5 + [2] * 2


@pytest.mark.parametrize("clip_norm", [0.01, None])
def test_gradients_are_no_longer_than_the_clip_norm(
    clip_norm, store, size, pretraining, optimization, training, tmp_path
):
    model = LMIM(size, pretraining.model_copy(update={"method": "mim"}))
    loader = CropLoader(store, height=32, width=128, batch_size=8, seed=1)
    clipped = optimization.model_copy(update={"clip_norm": clip_norm})
    fit(PretrainingTask("mim", model, None, 5), loader, clipped, training, 0, StateFolder(tmp_path / "mim", {}))
    length = torch.stack(
        [parameter.grad.norm() for parameter in model.parameters() if parameter.grad is not None]
    ).norm()
    assert length.item() == pytest.approx(0.01, rel=1e-3) if clip_norm else length > 0.02


def test_only_the_newest_checkpoints_stay(run, tmp_path):
    with pytest.raises(Interrupted):
        run(task=StopAfter, stop_at=11, settings={"checkpoint_steps": 2})
    names = sorted(path.name for path in (tmp_path / "state").glob("step-*"))
    assert names == ["step-00000010.pt", "step-00000011.pt"]


def test_the_metrics_table_has_a_row_per_step_and_the_schedule(run, optimization):
    metrics, _ = run()
    assert metrics["step"].tolist() == list(range(1, 13))
    assert {"epoch", "loss", "reconstruction", "alignment", "cls_std", "crops_per_second", "seconds"} <= set(metrics)
    rates = [optimization.learning_rate_at(step, 12, 3) for step in range(12)]
    assert metrics["learning_rate"].tolist() == pytest.approx(rates)


def test_too_few_crops_for_a_batch_is_a_sentence(run, store):
    del store._bytes[7:]
    with pytest.raises(InputError, match="fewer crops than a batch of 8"):
        run()


def test_training_in_epochs_counts_them(store, size, pretraining, training, tmp_path):
    model = LMIM(size, pretraining.model_copy(update={"method": "mim"}))
    loader = CropLoader(store, height=32, width=128, batch_size=8, seed=1)
    optimization = OptimizationParams(epochs=2, batch_size=8, warmup_epochs=1, base_learning_rate=0.03, **ADAMW)
    task = PretrainingTask("mim", model, None, 5)
    metrics = fit(task, loader, optimization, training, 0, StateFolder(tmp_path / "mim", {}))
    assert len(metrics) == 10 and metrics["epoch"].iloc[-1] == 2
    rates = [optimization.learning_rate_at(step, 10, 5) for step in range(10)]  # five batches an epoch
    assert metrics["learning_rate"].tolist() == pytest.approx(rates)
    assert metrics["loss"].iloc[-1] < metrics["loss"].iloc[0]


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path):
    """kill -9 while training, several times: the losses are those of a run that was left alone."""
    script = Path(__file__).with_name("killed_run.py")

    def start(folder: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(script), str(tmp_path / folder)], stderr=subprocess.DEVNULL)

    assert start("whole").wait(120) == 0
    for kills in range(3):
        process = start("killed")
        state = tmp_path / "killed" / "state"
        before = {path.name for path in state.glob("step-*.pt")}
        deadline = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < deadline:
            if {path.name for path in state.glob("step-*.pt")} - before:
                time.sleep(0.03 * kills)
                break
            time.sleep(0.005)
        process.kill()
        process.wait()
    assert start("killed").wait(120) == 0
    whole, killed = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("whole", "killed"))
    assert losses(whole) == losses(killed)
    assert (tmp_path / "whole" / "weights").read_text() == (tmp_path / "killed" / "weights").read_text()
