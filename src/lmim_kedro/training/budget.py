"""Sets how long a baseline trains, so that it is compared with teacher and LMIM together, not with LMIM alone."""

import torch

from lmim_kedro.crops.loader import CropBatch
from lmim_kedro.errors import InputError
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.params import OptimizationParams, PretrainingParams
from lmim_kedro.recipe import Recipe
from lmim_kedro.registries import METHODS
from lmim_kedro.training.monitor import operations
from lmim_kedro.views.guidance import to_unit


def with_budget(recipe: Recipe, crops: int) -> Recipe:
    """Set the length of the recipe's pre-training from `pretraining.length` and `pretraining.budget`.

    The budget `own` leaves the recipe as it is. `crops` adds the crops that the teacher saw. `compute` counts the
    operations of a step of teacher, LMIM and this method, and gives this method as many as the other two together.

    Args:
        recipe: the recipe.
        crops: number of crops in an epoch.

    Errors: InputError for the budget `compute` and a method whose operations are not counted.
    """
    pretraining = recipe.pretraining
    if not METHODS[pretraining.method].trains or (pretraining.budget == "own" and pretraining.length == 1):
        return recipe
    if pretraining.budget == "compute" and not METHODS[pretraining.method].counted:
        counted = [name for name in METHODS if METHODS[name].trains and METHODS[name].counted]
        raise InputError(
            f"`pretraining.budget` is 'compute', which counts the operations of {' and '.join(counted)}, and not of "
            f"{pretraining.method}: choose crops or own"
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
    """Count the floating-point operations of matrix products, per crop, in a training step of a method."""
    size, method = recipe.model, METHODS[pretraining.method]
    teacher = Encoder(size) if method.needs_teacher(pretraining) else None
    module = method.build(size, pretraining, teacher).train()
    images = torch.zeros(2, 3, size.image_height, size.image_width, dtype=torch.uint8)
    task = method.task("counted", module, lambda images, *_, **__: to_unit(images), 0)
    return operations(task, module, CropBatch(images, torch.ones(2), torch.arange(2)))


def _seen(optimization: OptimizationParams, crops: int) -> float:
    """Number of crops that a training of this length sees."""
    if optimization.steps is not None:
        return optimization.steps * optimization.batch_size
    whole = crops // optimization.batch_size * optimization.batch_size  # an epoch has no smaller batch at its end
    return (optimization.epochs or 0) * whole
