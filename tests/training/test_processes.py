"""One process among several, on the device and with the threads that it is given."""

from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
import torch.distributed as dist

from lmim_kedro.crops.loader import CropLoader
from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.params import FinetuningParams, TrainingParams, ViewPreset
from lmim_kedro.recipe import Recipe
from lmim_kedro.training import device, jobs, launch, monitor
from lmim_kedro.training.jobs import Job
from lmim_kedro.training.loop import fit
from lmim_kedro.training.ranks import Ranks
from lmim_kedro.training.state import StateFolder
from lmim_kedro.training.tasks import PretrainingTask

CPU = torch.device("cpu")
SEEDS = [(445910849451280328, 6323435703086875745), (5196598931604128598, 4633330481959944088)]
"""Of views and masks, and of the order of the crops, for a run with seed 7: teacher and pre-training."""


@dataclass(frozen=True)
class Two(Ranks):
    """The first of two processes, without the other."""

    world: int = 2

    def wrap(self, module):
        return module

    def mean(self, scalars):
        return {name: value.detach() for name, value in scalars.items()}

    def wait(self):
        pass

    def any(self, flag):
        return flag

    def told(self, value):
        return value


@pytest.fixture
def task(size, pretraining):
    torch.manual_seed(0)
    model = LMIM(size, pretraining.model_copy(update={"guidance": False, "alignment_weight": 0.0}), Encoder(size))
    return PretrainingTask("pre-training", model, None, 5)


@pytest.fixture
def loader(store):
    return CropLoader(store, height=32, width=128, batch_size=8, seed=1)


@pytest.fixture
def recipe(size, pretraining, optimization) -> Recipe:
    names = {"variant": "lmim", "env": "test", "seed": 7, "model_name": "tiny", "views_name": "none"}
    preset = ViewPreset(pick=(1, 1), contrast=(0.3, 0.9))
    finetuning = FinetuningParams(optimization=optimization)
    return Recipe(**names, model=size, views=preset, pretraining=pretraining, finetuning=finetuning)


def test_scalars_are_means_over_the_processes(monkeypatch):
    monkeypatch.setattr(dist, "all_reduce", lambda values: values.mul_(2).add_(3))  # the other process adds value + 3
    means = Ranks(CPU, world=2).mean({"loss": torch.tensor(1.0), "other": torch.tensor(2.0)})
    assert {name: value.item() for name, value in means.items()} == {"loss": 2.5, "other": 3.5}


def test_crops_per_second_are_those_of_all_processes(task, loader, optimization, training, tmp_path):
    given = loader, optimization, training.model_copy(update={"log_every": 12}), 0, StateFolder(tmp_path / "state", {})
    row = fit(task, *given, Two(CPU)).iloc[-1]
    assert row["crops_per_second"] * row["seconds"] == pytest.approx(12 * 8 * 2, rel=0.1)


def test_without_warm_up_the_first_step_has_the_largest_rate(task, loader, optimization, training, tmp_path):
    cold = optimization.model_copy(update={"warmup_steps": 0})
    rates = fit(task, loader, cold, training, 0, StateFolder(tmp_path / "state", {}))["learning_rate"]
    assert rates[0] == pytest.approx(cold.learning_rate) and rates.is_monotonic_decreasing


def test_draws_of_every_stage_stay_those_of_earlier_versions(recipe, store, training, tmp_path, monkeypatch):
    """A run that an earlier version began goes on with the same crops, views and masks."""
    found = []
    monkeypatch.setattr(jobs, "fit", lambda task, loader, *_: found.append((task.seed, loader.seed)))
    for stage in ("teacher", "pre-training"):
        job = Job(stage, store, recipe, training, tmp_path)
        jobs.run(job, LMIM(recipe.model, recipe.pretraining, Encoder(recipe.model)), Ranks(CPU))
    assert found == SEEDS


def test_several_processes_are_launched_as_the_parameters_say(task, recipe, store, training, tmp_path, monkeypatch):
    configs = []

    def started(config, work):
        configs.append(config)
        return work

    @contextmanager
    def alone(device):
        yield Ranks(device)

    job = Job("pre-training", store, recipe, training, tmp_path)
    monkeypatch.setattr(Job, "write", lambda job, path: None)
    monkeypatch.setattr(Job, "read", classmethod(lambda cls, path: job))
    monkeypatch.setattr(launch, "joined", alone)
    monkeypatch.setattr(launch, "elastic_launch", started)
    for changes in ({"devices": 2}, {"devices": 2, "nodes": 2, "rendezvous": "host:1234"}):
        asked = training.model_copy(update=changes)
        launch.train(Job("pre-training", store, recipe, asked, tmp_path), task.module)
    one, two = configs
    assert (one.min_nodes, one.max_nodes, one.nproc_per_node, one.rdzv_endpoint) == (1, 1, 2, "localhost:0")
    assert (two.min_nodes, two.max_nodes, two.nproc_per_node, two.rdzv_endpoint) == (2, 2, 2, "host:1234")
    assert one.max_restarts == 0 and one.rdzv_backend == "c10d"
    with pytest.raises(InputError, match="nodes > 1 needs training.rendezvous"):
        launch.train(
            Job("pre-training", store, recipe, training.model_copy(update={"nodes": 2}), tmp_path), task.module
        )


def test_threads_are_shared_by_the_processes_of_a_machine(monkeypatch):
    monkeypatch.setattr(device, "cores", lambda: 5)
    for count, of, wanted in ((0, 1, 5), (0, 2, 2), (0, 9, 1), (3, 2, 3)):
        device.use_threads(count, of)
        assert torch.get_num_threads() == wanted


def test_without_a_gpu_auto_is_the_cpu_and_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.pick_device("auto") == CPU
    with pytest.raises(InputError, match=r"training.device = 'gpu' cannot be used here .*: choose auto or cpu"):
        device.pick_device("gpu")


def test_precision_is_what_was_asked_for_or_what_the_device_computes_in(monkeypatch):
    found = {name: device.pick_precision(TrainingParams(precision=name), CPU) for name in ("fp32", "bf16")}
    assert found == {"fp32": torch.float32, "bf16": torch.bfloat16}
    auto = TrainingParams(precision="auto")
    for abilities, wanted in (({}, torch.float32), ({"amx_bf16": True}, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda abilities=abilities: abilities)
        assert device.pick_precision(auto, CPU) == wanted
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    assert device.pick_precision(auto, torch.device("cuda")) == torch.bfloat16
    assert device.pick_precision(auto, torch.device("mps")) == torch.float32


def test_operations_are_counted_once_and_on_a_known_gpu_only(monkeypatch, tmp_path):
    given = "run", 10, 0, CPU, False, [], tmp_path
    assert not monitor.Display(*given).wants_operations
    monkeypatch.setattr(monitor, "peak_flops", lambda device: 1e12)
    display = monitor.Display(*given)
    assert display.wants_operations
    display.operations = 5e9
    assert not display.wants_operations


def test_the_clock_of_a_resumed_run_goes_on_where_the_run_was_stopped(monkeypatch):
    now = 50.0
    monkeypatch.setattr(monitor.time, "monotonic", lambda: now)
    clock = monitor.Clock(100.0)
    clock.wait(1.0)
    now = 54.0
    assert clock.seconds == 104.0 and clock.row() == (4.0, 0.25)
    now = 56.0
    assert clock.row() == (2.0, 0.0)
