"""Trains a small model in several processes; test_launch.py starts it as a process of its own.

python job_script.py FOLDER STEPS DEVICES NODES RENDEZVOUS BASE_LEARNING_RATE VARIANT
"""

import hashlib
import sys
from pathlib import Path

import torch

from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.seqclr import SeqCLR
from lmim_kedro.params import (
    FinetuningParams,
    IngestParams,
    ModelParams,
    OptimizationParams,
    PretrainingParams,
    TrainingParams,
    ViewPreset,
)
from lmim_kedro.recipe import Recipe
from lmim_kedro.training.jobs import Job
from lmim_kedro.training.launch import train

ADAMW = {"betas": (0.9, 0.95), "weight_decay": 0.05, "layer_decay": 1.0}

SIZE = ModelParams(
    patch_height=32,
    input="gray",
    position_grid="layout",
    width=32,
    heads=2,
    depth=2,
    decoder_width=32,
    decoder_depth=1,
    decoder_heads=2,
)
VARIANTS = {"lmim": {}, "seqclr": {"method": "seqclr"}, "align_variance": {"alignment_variance": 1.0}}


def main(folder: Path, steps: int, devices: int, nodes: int, rendezvous: str | None, rate: float, variant: str) -> None:
    words = open_source("words", {"format": "rendered", "words": 44, "seed": 1, "use_labels": False})
    crops = prepare([words], IngestParams(workers=1), folder / "crops", need_labels=False)
    size = SIZE.model_copy(update={"decoder_dropout": 0.1 if variant == "lmim" else 0.0})
    optimization = OptimizationParams(steps=steps, batch_size=8, warmup_steps=3, base_learning_rate=rate, **ADAMW)
    pretraining = PretrainingParams.model_validate(
        {"teacher": {"optimization": optimization}, "optimization": optimization, **VARIANTS[variant]}
    )
    recipe = Recipe(
        variant=variant,
        env="test",
        seed=0,
        model_name="small",
        model=size,
        views=ViewPreset(rotate=15, crop_vertical=0.1, contrast=(0.5, 1.0)),
        views_name="small",
        pretraining=pretraining,
        finetuning=FinetuningParams(optimization=optimization),
    )
    training = TrainingParams(
        device="cpu", threads=1, log_every=1, checkpoint_steps=5, devices=devices, nodes=nodes, rendezvous=rendezvous
    )
    torch.manual_seed(0)
    model = SeqCLR(size, pretraining) if variant == "seqclr" else LMIM(size, pretraining, Encoder(size))
    trained, metrics = train(Job("pre-training", crops, recipe, training, folder / "state"), model)
    metrics.to_csv(folder / "metrics.csv", index=False)
    values = b"".join(tensor.numpy().tobytes() for tensor in trained.state_dict().values())
    (folder / "weights").write_text(hashlib.sha256(values).hexdigest())


if __name__ == "__main__":
    path, steps, devices, nodes, rendezvous, rate, variant = sys.argv[1:]
    try:
        main(Path(path), int(steps), int(devices), int(nodes), rendezvous or None, float(rate), variant)
    except InputError as error:
        sys.exit(str(error))
