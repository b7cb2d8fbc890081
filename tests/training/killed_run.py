"""A small run that test_loop.py starts as a process of its own and kills."""

import hashlib
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from lmim_kedro.crops.loader import CropLoader
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.params import ModelParams, OptimizationParams, PretrainingParams, TrainingParams
from lmim_kedro.training.loop import fit
from lmim_kedro.training.state import StateFolder
from lmim_kedro.training.tasks import PretrainingTask

ADAMW = {"betas": (0.9, 0.95), "weight_decay": 0.05, "layer_decay": 1.0}


class Store:
    """Thirty crops of noise."""

    def __init__(self) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (30, 16, 40, 3), dtype=np.uint8)
        self._bytes = [cv2.imencode(".png", image)[1].tobytes() for image in pixels]

    def __len__(self) -> int:
        return len(self._bytes)

    def fetch(self, indices):
        return [self._bytes[index] for index in indices]


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    size = ModelParams(
        patch_height=32,
        input="gray",
        position_grid="layout",
        width=32,
        heads=2,
        depth=2,
        decoder_width=32,
        decoder_heads=2,
    )
    recipe = OptimizationParams(steps=120, batch_size=8, warmup_steps=3, base_learning_rate=0.03, **ADAMW)
    mim = PretrainingParams.model_validate(
        {"method": "mim", "teacher": {"optimization": recipe}, "optimization": recipe}
    )
    model = LMIM(size, mim)
    loader = CropLoader(Store(), height=32, width=128, batch_size=8, seed=1)
    training = TrainingParams(device="cpu", threads=1, log_every=1, checkpoint_steps=7)
    state = StateFolder(folder / "state", {"seed": 0})
    metrics = fit(PretrainingTask("killed", model, None, 5), loader, recipe, training, 0, state)
    metrics.to_csv(folder / "metrics.csv", index=False)
    values = b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())
    (folder / "weights").write_text(hashlib.sha256(values).hexdigest())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
