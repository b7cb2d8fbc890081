"""Starts a training job in this process, in several processes of this machine, or on several machines.

On further machines, which must see the same folders, start the worker with torch's own launcher:

    torchrun --nnodes=2 --nproc-per-node=8 --rdzv-backend=c10d --rdzv-endpoint=HOST:PORT --rdzv-id=lmim \\
        --shutdown-timeout=110 --module lmim_kedro.training.launch data/06_models/.../state/launch/pre-training/job.json
"""

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from lmim_kedro.errors import InputError
from lmim_kedro.files import whole
from lmim_kedro.models import weights
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.text.marks import on_lines, show_controls
from lmim_kedro.training.device import named_device, pick_device, use_threads
from lmim_kedro.training.jobs import Job, run
from lmim_kedro.training.loop import STOPPING, Interrupted, heeds
from lmim_kedro.training.ranks import Ranks, accepted, joined

log = logging.getLogger(__name__)

RUN_ID = "lmim"
"""Value of --rdzv-id on further machines."""

SECONDS_TO_SAVE = 110
"""Time for processes that were asked to stop, before they are killed; schedulers give 120 s (docs/training.md)."""


def train(job: Job, module: nn.Module) -> tuple[Any, pd.DataFrame]:
    """Train a module as `job.training` says; returns the trained module, on the CPU, and the metrics table.

    Raises:
        InputError: as in `fit`; if more devices are asked for than exist; if a process failed with one.
    """
    training = job.training
    if training.devices == training.nodes == 1:
        use_threads(training.threads)
        metrics = run(job, module, Ranks(pick_device(training.device)))
        return module.cpu(), metrics
    _check(job, named_device(training.device))
    folder = job.exchange
    folder.mkdir(parents=True, exist_ok=True)
    weights.save_model(folder / "start", module)
    job.write(folder / "job.json")
    config = LaunchConfig(
        min_nodes=training.nodes,
        max_nodes=training.nodes,
        nproc_per_node=training.devices,
        run_id=RUN_ID,
        rdzv_backend="c10d",
        rdzv_endpoint=training.rendezvous or "localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
        signals_to_handle=",".join(name for name in (*STOPPING, "SIGQUIT") if heeds(name)),
        **accepted(LaunchConfig, shutdown_timeout=SECONDS_TO_SAVE),
    )
    if training.nodes > 1:
        log.info("waiting for %d machines at %s; %s", training.nodes, training.rendezvous, _others(job))
    # Torch would print the traceback of every process, even if the reason is one sentence.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    logging.getLogger("torch.multiprocessing").setLevel(logging.CRITICAL)
    try:
        elastic_launch(config, work)(str(folder / "job.json"))
    except ChildFailedError as error:
        raise _failure(job, error) from error
    except SignalException as error:
        raise Interrupted(
            f"{job.stage} was stopped {job.folder.reached}: give the same command again to go on"
        ) from error
    trained = torch.load(folder / "result.pt", weights_only=True, map_location="cpu")
    module.load_state_dict(trained["module"])
    if isinstance(module, Recognizer):
        module.labels, module.temperature = trained["labels"], trained["temperature"]
    shutil.rmtree(folder)
    return module, pd.DataFrame(trained["rows"])


@record
def work(job_file: str) -> None:
    """Take part in a job as one of its processes; the first one writes the trained weights beside the job."""
    job = Job.read(Path(job_file))
    folder, training = job.exchange, job.training
    use_threads(training.threads, of=training.devices)
    with joined(pick_device(training.device, int(os.environ.get("LOCAL_RANK", 0)))) as ranks:
        logging.basicConfig(level=logging.INFO if ranks.first else logging.ERROR, format="%(message)s")
        show_controls()
        load = weights.load_recognizer if job.stage == "fine-tuning" else weights.load_pretraining
        module = load(folder / "start")
        metrics = run(job, module, ranks)
        if ranks.first:
            trained = {"module": module.cpu().state_dict(), "rows": metrics.to_dict("records")}
            for name in ("labels", "temperature"):
                trained[name] = getattr(module, name, None)
            with whole(folder / "result.pt") as part:
                torch.save(trained, part)
        ranks.wait()


def _check(job: Job, device: torch.device) -> None:
    training = job.training
    world = training.devices * training.nodes
    if device.type == "cuda" and training.devices > (there := torch.cuda.device_count()):
        raise InputError(f"training.devices is {training.devices}, but this machine has {there} GPUs: ask for {there}")
    if job.optimization.batch_size % (world * training.accumulate):
        raise InputError(
            f"a batch of {job.optimization.batch_size} crops cannot be shared by {world} processes in "
            f"{training.accumulate} parts: choose a multiple of {world * training.accumulate}"
        )
    if training.nodes > 1 and training.rendezvous is None:
        raise InputError("training.nodes > 1 needs training.rendezvous: HOST:PORT of one of the machines")


def _others(job: Job) -> str:
    training, timeout = job.training, accepted(LaunchConfig, shutdown_timeout=SECONDS_TO_SAVE)
    return (
        f"on each of the others: torchrun --nnodes={training.nodes} --nproc-per-node={training.devices} "
        f"--rdzv-backend=c10d --rdzv-endpoint={training.rendezvous} --rdzv-id={RUN_ID} "
        f"{f'--shutdown-timeout={SECONDS_TO_SAVE} ' if timeout else ''}"
        f"--module lmim_kedro.training.launch {job.exchange / 'job.json'}"
    )


def _failure(job: Job, error: ChildFailedError) -> Exception:
    """The error of the first process that failed: its sentence if it was an InputError, else its traceback."""
    rank, failure = error.get_first_failure()
    recorded: Any = failure.message
    said = recorded if isinstance(recorded, dict) else {"message": recorded}
    text = str(said["message"])
    for kind in (InputError, Interrupted):
        if text.startswith(prefix := f"{kind.__name__}: "):
            return kind(text.removeprefix(prefix))
    traceback = said.get("extraInfo", {}).get("py_callstack", "")
    return RuntimeError(f"{job.stage} failed in process {rank}: {text}\n{traceback}")


if __name__ == "__main__":
    try:
        work(sys.argv[1])
    except InputError as error:
        sys.exit(on_lines(error))
