"""Trains a small LMIM in several processes; test_launch.py starts it as a process of its own.

python job_script.py FOLDER STEPS DEVICES NODES RENDEZVOUS [BASE_LEARNING_RATE]
"""

import hashlib
import sys
from pathlib import Path

import torch

from lmim_kedro.crops.prepare import prepare
from lmim_kedro.crops.sources import open_source
from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.params import (
    FinetuningParams,
    IngestParams,
    ModelParams,
    OptimisationParams,
    PretrainingParams,
    Recipe,
    TrainingParams,
    ViewPreset,
)
from lmim_kedro.training.jobs import Job
from lmim_kedro.training.launch import train

SIZE = ModelParams(
    patch_height=32,
    input="grey",
    position_grid="layout",
    width=32,
    heads=2,
    depth=2,
    decoder_width=32,
    decoder_depth=1,
    decoder_heads=2,
    decoder_dropout=0.1,
)


def main(folder: Path, steps: int, devices: int, nodes: int, rendezvous: str | None, rate: float) -> None:
    words = open_source("words", {"format": "rendered", "words": 44, "seed": 1, "use_labels": False})
    crops = prepare([words], IngestParams(workers=1), folder / "crops", need_labels=False)
    optimisation = OptimisationParams(steps=steps, batch_size=8, warmup_steps=3, base_learning_rate=rate)
    pretraining = PretrainingParams.model_validate(
        {"teacher": {"optimisation": optimisation}, "optimisation": optimisation}
    )
    recipe = Recipe(
        variant="lmim",
        env="test",
        seed=0,
        model_name="small",
        model=SIZE,
        views=ViewPreset(rotate=15, crop_vertical=0.1, contrast=(0.5, 1.0)),
        views_name="small",
        pretraining=pretraining,
        finetuning=FinetuningParams(optimisation=optimisation),
    )
    training = TrainingParams(
        device="cpu", threads=1, log_every=1, checkpoint_steps=5, devices=devices, nodes=nodes, rendezvous=rendezvous
    )
    torch.manual_seed(0)
    model = LMIM(SIZE, pretraining, Encoder(SIZE))
    trained, metrics = train(Job("pre-training", crops, recipe, training, folder / "state"), model)
    metrics.to_csv(folder / "metrics.csv", index=False)
    values = b"".join(tensor.numpy().tobytes() for tensor in trained.state_dict().values())
    (folder / "weights").write_text(hashlib.sha256(values).hexdigest())


if __name__ == "__main__":
    path, steps, devices, nodes, rendezvous, *rate = sys.argv[1:]
    try:
        main(Path(path), int(steps), int(devices), int(nodes), rendezvous or None, float(rate[0]) if rate else 0.03)
    except InputError as error:
        sys.exit(str(error))
