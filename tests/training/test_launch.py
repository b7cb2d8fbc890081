"""Several processes train as one does, stop as one does, and fail with one sentence."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lmim_kedro.training import ranks

SCRIPT = Path(__file__).with_name("job_script.py")


def start(
    folder: Path,
    *,
    steps: int,
    devices: int,
    nodes: int = 1,
    at: str = "",
    rate: float = 0.03,
    variant: str = "lmim",
    **options: bool,
):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(SCRIPT), str(folder), str(steps), str(devices), str(nodes), at, str(rate), variant]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def finish(process: subprocess.Popen, status: int = 0) -> str:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == status, errors
    return errors


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "metrics.csv")


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes from beginning to end."""
    folder = tmp_path_factory.mktemp("launch") / "two"
    finish(start(folder, steps=24, devices=2))
    return folder


def test_two_processes_take_the_same_first_steps_as_one(two, tmp_path):
    finish(start(tmp_path, steps=24, devices=1))
    one, both = table(tmp_path), table(two)
    assert both["step"].tolist() == one["step"].tolist()
    # Dropout in the guided decoder differs between the processes, and nothing else does.
    assert np.allclose(both["alignment"][:2], one["alignment"][:2], rtol=0.02)
    assert np.allclose(both["loss"], one["loss"], rtol=0.15)
    assert not (two / "state" / "launch" / "pre-training").exists()


def test_two_processes_stopped_and_started_again_equal_an_uninterrupted_run_bit_for_bit(two, tmp_path):
    process = start(tmp_path, steps=24, devices=2)
    wait_for(tmp_path / "state" / "pre-training" / "step-00000010.pt", process)
    process.send_signal(signal.SIGTERM)
    said = finish(process, status=1)
    assert "pre-training was stopped with a checkpoint of step" in said.splitlines()[-1]
    assert not (tmp_path / "weights").exists()
    said = finish(start(tmp_path, steps=24, devices=2))
    assert "goes on at step" in said
    assert table(tmp_path)["loss"].tolist() == table(two)["loss"].tolist()
    assert (tmp_path / "weights").read_text() == (two / "weights").read_text()


def test_ctrl_c_which_reaches_every_process_twice_saves_a_checkpoint_once(tmp_path):
    """A terminal sends it to the whole group, and the launcher hands it on to the processes that have it already."""
    process = start(tmp_path, steps=100_000, devices=2, start_new_session=True)
    wait_for(tmp_path / "state" / "pre-training" / "recipe.json", process)
    os.killpg(process.pid, signal.SIGINT)
    last = finish(process, status=1).splitlines()[-1]
    step = int(re.search(r"stopped with a checkpoint of step ([0-9,]+) in", last)[1].replace(",", ""))
    newest = max((tmp_path / "state" / "pre-training").glob("step-*.pt"))
    assert newest.name == f"step-{step:08d}.pt" and step % 10 == 0


@pytest.mark.parametrize("variant", ["seqclr", "align_variance"])
def test_losses_that_compare_the_crops_of_a_batch_see_those_of_all_processes(variant, tmp_path):
    for devices in (1, 2):
        finish(start(tmp_path / str(devices), steps=6, devices=devices, variant=variant))
    one, two = table(tmp_path / "1"), table(tmp_path / "2")
    name = "loss" if variant == "seqclr" else "variance"
    assert np.allclose(two[name], one[name], rtol=0.02)


def test_a_loss_that_is_not_finite_stops_all_processes_with_one_sentence_and_the_checkpoint_stays(tmp_path):
    said = finish(start(tmp_path, steps=24, devices=2, rate=1e4), status=1)
    last = said.splitlines()[-1]
    assert last.startswith("pre-training: ") and "is not finite at step" in last
    assert "Traceback" not in said
    assert not (tmp_path / "weights").exists()


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    said = finish(start(tmp_path, steps=5, devices=3), status=1)
    assert said.splitlines()[-1] == (
        "a batch of 8 crops cannot be shared by 3 processes in 1 parts: choose a multiple of 3"
    )


def test_two_machines_meet_at_a_rendezvous_and_equal_two_processes_of_one(two, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        place = f"localhost:{free.getsockname()[1]}"
    first = start(tmp_path, steps=24, devices=1, nodes=2, at=place)
    job = tmp_path / "state" / "launch" / "pre-training" / "job.json"
    wait_for(job, first)
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nnodes=2",
        "--nproc-per-node=1",
        "--rdzv-backend=c10d",
    ]
    launcher += [f"--rdzv-endpoint={place}", "--rdzv-id=lmim", "--module", "lmim_kedro.training.launch", str(job)]
    second = subprocess.run(launcher, capture_output=True, text=True, timeout=240)
    assert second.returncode == 0, second.stderr
    finish(first)
    assert (tmp_path / "weights").read_text() == (two / "weights").read_text()


def test_options_that_an_older_torch_lacks_are_left_out(monkeypatch):
    class Older(torch.nn.Module):
        def __init__(self, module, device_ids=None):
            super().__init__()
            self.module = module

    class Newer(Older):
        def __init__(self, module, device_ids=None, forward_sync_buffers=True):
            super().__init__(module)
            self.synced = forward_sync_buffers

    two, module = ranks.Ranks(torch.device("cpu"), 0, 2), torch.nn.Linear(1, 1)
    monkeypatch.setattr(ranks, "DistributedDataParallel", Older)
    assert two.wrap(module).module is module
    monkeypatch.setattr(ranks, "DistributedDataParallel", Newer)
    assert two.wrap(module).synced is False
