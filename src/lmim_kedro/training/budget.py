"""How long a baseline trains, so that it is compared with teacher and LMIM together and not with LMIM alone."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.masking import draw_priority
from lmim_kedro.params import OptimizationParams, PretrainingParams
from lmim_kedro.recipe import Recipe


def with_budget(recipe: Recipe, crops: int) -> Recipe:
    """The recipe with its pre-training as long as `pretraining.length` and `pretraining.budget` say.

    Args:
        recipe: budget `own` leaves it as it is; `crops` adds the crops that the teacher saw; `compute` counts the
            operations of a training step of teacher, LMIM and this method, and gives this method as many as the
            other two take together.
        crops: in an epoch.

    Errors: InputError for the budget `compute` and a method whose operations are not counted.
    """
    pretraining = recipe.pretraining
    if pretraining.method == "none" or (pretraining.budget == "own" and pretraining.length == 1):
        return recipe
    if pretraining.budget == "compute" and pretraining.method == "seqclr":
        raise InputError(
            "`pretraining.budget` is 'compute', which counts the operations of lmim and mim, and not of seqclr: choose "
            "crops or own"
        )
    teacher, own = (_seen(part, crops) for part in (pretraining.teacher.optimization, pretraining.optimization))
    own *= pretraining.length
    wanted = own if pretraining.budget == "own" else teacher + own
    if pretraining.budget == "compute":
        as_teacher = pretraining.model_copy(update={"method": "mim", "mask_ratio": pretraining.teacher.mask_ratio})
        as_lmim = pretraining.model_copy(update={"method": "lmim", "mask_ratio": 0.8})
        total = teacher * step_operations(recipe, as_teacher) + own * step_operations(recipe, as_lmim)
        wanted = total / step_operations(recipe, pretraining)
    steps = max(1, round(wanted / pretraining.optimization.batch_size))
    longer = pretraining.optimization.model_copy(update={"steps": steps, "epochs": None})
    return recipe.model_copy(update={"pretraining": pretraining.model_copy(update={"optimization": longer})})


def step_operations(recipe: Recipe, pretraining: PretrainingParams) -> float:
    """Floating-point operations of matrix products, per crop, in a training step of a masked method."""
    size = recipe.model
    needs_teacher = pretraining.method == "lmim" and pretraining.target != "pixel"
    model = LMIM(size, pretraining, Encoder(size) if needs_teacher else None).train()
    images = torch.zeros(2, 3, size.image_height, size.image_width)
    index = torch.arange(2).numpy()
    priority = draw_priority("random", size.rows, size.columns, seed=0, epoch=0, index=index)
    # The counter knows no operations of a CPU's fused attention: plain matrix products are counted.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(images, images if model.guided else None, priority)["loss"].backward()
    return counter.get_total_flops() / len(images)


def _seen(optimization: OptimizationParams, crops: int) -> float:
    """Crops that a training of this length sees."""
    if optimization.steps is not None:
        return optimization.steps * optimization.batch_size
    whole = crops // optimization.batch_size * optimization.batch_size  # an epoch has no smaller batch at its end
    return (optimization.epochs or 0) * whole
