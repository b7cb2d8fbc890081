"""Is the model exactly the published one? `lmim-kedro verify FOLDER`.

FOLDER holds checkpoints written by the released code and the quantities that it computed with them
(`*_checkpoint.pth`, `*_values.safetensors`, `*_facts.json`, `pos_embed.safetensors`). Every quantity is computed anew
with our models from the same weights and inputs; one line each says how far apart they are.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json
from lmim_kedro.models import released
from lmim_kedro.models.decoding import beam_search, step_probabilities
from lmim_kedro.models.encoder import Encoder, sincos_position
from lmim_kedro.models.heads import AutoregressiveHead
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.masking import split
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.old_names import call
from lmim_kedro.params import ModelParams, OptimizationParams, PretrainingParams, RecognizerParams
from lmim_kedro.text.charset import Charset

TOLERANCE = 1e-4
FILES = (
    "pretrain_facts.json",
    "pretrain_values.safetensors",
    "lmim_pretrain_checkpoint.pth",
    "maerec_checkpoint.pth",
    "finetune_facts.json",
    "finetune_values.safetensors",
    "lmim_finetune_checkpoint.pth",
    "pos_embed.safetensors",
)
RECIPE = OptimizationParams(
    epochs=10,
    batch_size=512,
    base_learning_rate=1.5e-4,
    warmup_epochs=1,
    betas=(0.9, 0.95),
    weight_decay=0.05,
    layer_decay=1.0,
)


class Comparison(NamedTuple):
    """One quantity: the largest difference between ours and theirs, relative to their largest magnitude.

    Example:
        >>> Comparison("loss", difference=2e-5, shape=()).holds
        True
    """

    quantity: str
    difference: float
    shape: tuple[int, ...]

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.difference <= TOLERANCE


def verify(folder: Path, device: torch.device | str = "cpu") -> Iterator[Comparison]:
    """Compare every quantity of a folder of golden values, computed in float32 on a device.

    On a GPU, turn TF32 off first: it rounds the factors of matrix products to 10 bits.

    Errors: InputError if a file is missing or holds another model than its facts say.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder} lacks {', '.join(missing)}: docs/weights.md lists what it must hold")
    for name, expected in load_file(folder / "pos_embed.safetensors").items():
        yield _compare(name, sincos_position(ModelParams(), expected.shape[-1]), expected)
    yield from _pretraining(folder, device)
    yield from _finetuning(folder, device)


def _pretraining(folder: Path, device: torch.device | str) -> Iterator[Comparison]:
    facts = read_json(folder / "pretrain_facts.json")
    values = load_file(folder / "pretrain_values.safetensors", str(device))
    model = _model(facts["cfg"])
    teacher, _ = released.import_encoder(folder / "maerec_checkpoint.pth", model)
    for ratio in sorted({int(found[1]) for name in values if (found := re.match(r"r(\d+)\.", name))}, reverse=True):
        pretraining = _recipe(ratio / 100)
        lmim, _ = released.import_lmim(folder / "lmim_pretrain_checkpoint.pth", model, pretraining)
        expected = {name[4:]: value for name, value in values.items() if name.startswith(f"r{ratio}.")}
        lmim, teacher = lmim.to(device), teacher.to(device)
        for quantity, ours in _pretraining_quantities(lmim, teacher, values, ratio / 100).items():
            yield _compare(f"r{ratio}.{quantity}", ours, expected[quantity.removesuffix(" (MAERec file)")])
        yield _gradients(f"r{ratio}.gradnorm", lmim, expected)
    for done, rate in facts["lr_schedule"]:
        yield _compare(f"learning rate at epoch {done}", RECIPE.learning_rate_at(done, 10, 1), rate)
    full = LMIM(ModelParams(), _recipe(0.8), Encoder(ModelParams()))
    yield _compare("encoder parameters, full size", _count(full.encoder), facts["encoder"])
    yield _compare("trainable parameters, full size", _count(full), facts["trainable"])


def _pretraining_quantities(lmim: LMIM, teacher: Encoder, values: dict[str, Tensor], ratio: float) -> dict[str, Tensor]:
    images, views = values["images"], values["guidance_images"]
    parts = split(values["noise"], ratio)
    losses = lmim(images, views, values["noise"])
    losses["loss"].backward()
    with torch.no_grad():
        latent, guide = lmim.encoder(images, parts.kept, parts.removed), lmim.encoder(views)
        target = lmim.target(images)
        lmim.teacher = teacher
        return {
            "mask": parts.mask(),
            "latent": latent,
            "guidance": guide,
            "target": target,
            "target (MAERec file)": lmim.target(images),
            "pred": lmim.decode(latent, guide, parts, everywhere=True),
            "recon": losses["reconstruction"],
            "align": losses["alignment"],
            "loss": losses["loss"],
        }


def _gradients(quantity: str, lmim: LMIM, expected: dict[str, Tensor]) -> Comparison:
    norms = {name.removeprefix("gradnorm."): value for name, value in expected.items() if name.startswith("gradnorm.")}
    ours = {
        released.released_name(name): parameter.grad.norm()
        for name, parameter in lmim.named_parameters()
        if parameter.grad is not None
    }
    if ours.keys() != norms.keys():
        raise InputError(f"gradients of {sorted(ours.keys() ^ norms.keys())[:5]} stand on one side only")
    worst = max(_compare(name, ours[name], norms[name]).difference for name in norms)
    return Comparison(f"{quantity} of every parameter", worst, (len(norms),))


def _finetuning(folder: Path, device: torch.device | str) -> Iterator[Comparison]:
    facts = read_json(folder / "finetune_facts.json")
    values = load_file(folder / "finetune_values.safetensors", str(device))
    model, charset = _model(facts["cfg"], facts["decoder"]), Charset(facts["charset_order"])
    path = folder / "lmim_finetune_checkpoint.pth"
    recognizer, _ = released.import_recognizer(path, model, charset, facts["max_len"])
    recognizer.to(device).eval()
    with torch.no_grad():
        head = cast(AutoregressiveHead, recognizer.head)
        targets, lengths = head.targets(facts["words"], device)
        yield _compare("targets", targets, values["targets"])
        yield _compare("target lengths", lengths, values["target_lengths"])
        memory = head.linear_norm(recognizer.encoder(values["images"]))
        yield _compare("memory", memory, values["memory"])
        logits = head.decoder(memory, targets)
        written = (torch.arange(targets.shape[1]) < lengths[:, None]).to(device)  # theirs are zero past each word
        yield _compare("teacher-forced logits", logits * written[..., None], values["teacher_forced_logits"])
        loss = head.loss(recognizer(values["images"], targets), targets, lengths)
        yield _compare("recognizer loss", loss, values["loss"])
        yield _compare("recognizer loss, facts", loss, facts["loss"])
        probabilities = step_probabilities(head.decoder, memory)
        yield _compare("greedy probabilities", probabilities, values["greedy_probs"])
        yield _compare("greedy symbols", probabilities.argmax(-1), values["greedy_ids"])
        best = beam_search(head.decoder, memory, charset.end, width=5, released=True)
        places = torch.arange(best.symbols.shape[1], device=device)
        written = places < best.lengths[:, None]  # theirs go on after the end symbol
        yield _compare("beam search symbols", best.symbols[written], values["beam5_ids"][written])
    for name, expected in (("english_94", 35_791_457), ("chinese_7934", 43_827_457)):
        full = Recognizer(ModelParams(), Charset.named(name))
        yield _compare(f"recognizer parameters, full size, {full.charset.classes} classes", _count(full), expected)


def _compare(quantity: str, ours: Tensor | float, theirs: Tensor | float) -> Comparison:
    a, b = (torch.as_tensor(side).detach().cpu().double() for side in (ours, theirs))
    if a.shape != b.shape:
        raise InputError(f"{quantity} has shape {tuple(a.shape)} here and {tuple(b.shape)} in the folder")
    difference, scale = (a - b).abs().max().item(), b.abs().max().item()
    return Comparison(quantity, difference / scale if scale else difference, tuple(b.shape))


def _model(size: dict[str, int], decoder: dict[str, int] | None = None) -> ModelParams:
    """The sizes in a facts file; dropout is off in golden values."""
    reader = RecognizerParams()
    if decoder is not None:
        if decoder["d_k"] * decoder["n_head"] != decoder["d_model"] or decoder["d_embedding"] != decoder["d_model"]:
            raise InputError(f"decoder sizes {decoder} are not those of a decoder whose heads fill its width")
        names = {"width": "d_model", "depth": "n_layers", "heads": "n_head", "ffn": "d_inner"}
        reader = RecognizerParams.model_validate({ours: decoder[its] for ours, its in names.items()} | {"dropout": 0})
    names = {"width": "embed_dim", "depth": "depth", "heads": "num_heads", "decoder_width": "decoder_embed_dim"}
    names |= {"decoder_depth": "decoder_depth", "decoder_heads": "decoder_num_heads"}
    sizes = {ours: size[its] for ours, its in names.items()}
    return ModelParams.model_validate(sizes | {"decoder_dropout": 0.0, "recognizer": reader})


def _recipe(mask_ratio: float) -> PretrainingParams:
    return PretrainingParams.model_validate(
        {"mask_ratio": mask_ratio, "teacher": {"optimization": RECIPE}, "optimization": RECIPE}
    )


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


if __name__ == "__main__":
    sys.exit(call("lmim_kedro.models.verify", "verify"))
