"""AdamW with the paper's parameter groups, and the average of the weights."""

import re

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lmim_kedro.params import OptimizationParams

ENCODER = "encoder."
"""How the names of the encoder's parameters begin, in every module that is trained."""


def build_optimizer(module: nn.Module, optimization: OptimizationParams) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; each group has its factor on the learning rate as `scale`.

    Parameters of one dimension have no weight decay (released code). With `layer_decay` below 1, lower blocks of the
    encoder learn slower, by the factor layer_decay ** (distance to the head); `encoder_learning_rate` is one more
    factor on all of the encoder. With `freeze_encoder_steps`, its groups have that number as `first`, the steps before
    they learn.

    Example:
        >>> lengths = dict(steps=1, warmup_steps=0, batch_size=512, base_learning_rate=1e-3)
        >>> optimization = OptimizationParams(**lengths, betas=(0.9, 0.95), weight_decay=0.05, layer_decay=1)
        >>> [group["weight_decay"] for group in build_optimizer(nn.Linear(2, 2), optimization).param_groups]
        [0.05, 0.0]
    """
    depth = 1 + max((_block(name) for name, _ in module.named_parameters()), default=-1)
    groups: dict[tuple[float, bool, int], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            scale, first = optimization.layer_decay ** (depth + 1 - _layer(name, depth)), 0
            if name.startswith(ENCODER):
                scale *= optimization.encoder_learning_rate or 1.0
                first = optimization.freeze_encoder_steps or 0
            groups.setdefault((scale, parameter.ndim > 1, first), []).append(parameter)
    decays = {True: optimization.weight_decay, False: 0.0}
    return torch.optim.AdamW(
        [
            {"params": parameters, "scale": scale, "weight_decay": decays[decayed], "first": first}
            for (scale, decayed, first), parameters in groups.items()
        ],
        lr=optimization.learning_rate,
        betas=optimization.betas,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float, done: int) -> None:
    """Give every group its share of the rate after `done` steps; a group that does not learn yet gets 0.

    At a rate of 0, AdamW changes no weight, decay included, while its moments already follow the gradients.
    """
    for group in optimizer.param_groups:
        # Checkpoints of earlier versions have groups without `first`.
        group["lr"] = rate * group["scale"] if done >= group.get("first", 0) else 0.0


def update_average(average: AveragedModel, module: nn.Module, decay: float, step: int) -> None:
    """Take the weights after a step into their exponential moving average.

    The first steps are forgotten sooner, by a decay of at most (1 + step) / (10 + step), so that the average of a short
    training does not hold on to where it began.

    Example:
        >>> module = nn.Linear(1, 1, bias=False)
        >>> average = AveragedModel(module)
        >>> for step, weight in enumerate([1.0, 3.0], start=1):
        ...     _ = nn.init.constant_(module.weight, weight)
        ...     update_average(average, module, 0.998, step)
        >>> round(average.module.weight.item(), 4)  # 0.25 * 1 + 0.75 * 3
        2.5
    """
    average.multi_avg_fn = get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))
    average.update_parameters(module)


def _layer(name: str, depth: int) -> int:
    """0 for the patch embedding, 1 to depth for the encoder's blocks, depth + 1 for everything after them."""
    if not name.startswith(ENCODER):
        return depth + 1
    if name.startswith(("encoder.cls_token", "encoder.patch_embed.")):
        return 0
    block = _block(name)
    return depth + 1 if block < 0 else block + 1


def _block(name: str) -> int:
    found = re.match(r"encoder\.blocks\.(\d+)\.", name)
    return int(found[1]) if found else -1
