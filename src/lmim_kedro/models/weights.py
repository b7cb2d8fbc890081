"""This project's models on disk: safetensors and config.json. `released` has the layouts of other projects."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json, read_sums, sha256, whole, write_json, write_sums
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.folder import CONFIG, WEIGHTS, read_config, require_undamaged
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.params import ModelParams, PretrainingParams
from lmim_kedro.registries import METHODS
from lmim_kedro.text.charset import Charset

log = logging.getLogger(__name__)


class Origin(NamedTuple):
    """How a model was made, which its folder keeps.

    Attributes:
        recipe: a recipe.Recipe as plain values; None: not recorded.
        sha256: of the file of weights that the model was loaded from; None: it was not, or an earlier version saved it.
    """

    recipe: dict[str, Any] | None = None
    sha256: str | None = None


def origin_of(module: nn.Module) -> Origin:
    """How a model was made, as far as training and loading have noted it in its attribute `origin`."""
    return getattr(module, "origin", Origin())


def recorded_recipe(module: nn.Module) -> dict[str, Any]:
    """The recipe of a model that was loaded from its folder, as plain values.

    Errors: InputError if its folder does not say how it was made.
    """
    if (recipe := origin_of(module).recipe) is None:
        raise InputError(
            "the folder of the model does not say how it was made, as of an earlier version or another program: train "
            "it again with `kedro run --pipelines=pretrain,finetune`, or run the later stages alone"
        )
    return recipe


def save_model(folder: Path, module: nn.Module) -> None:
    """Write `model.safetensors`, `config.json` and their checksums; each file appears whole or not at all.

    A folder in which an older model was only half replaced does not have its checksums, and is refused.

    Errors: InputError if the disk is full.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> save_model(folder, Encoder(ModelParams(width=24, depth=1, heads=3)))
        >>> load_encoder(folder).model.width
        24
        >>> __import__("shutil").rmtree(folder)
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with whole(folder / WEIGHTS) as part:
        save_file(tensors, part)
    write_json(folder / CONFIG, model_config(module))
    write_sums(folder, {name: sha256(folder / name) for name in (CONFIG, WEIGHTS)})


def model_config(module: nn.Module) -> dict[str, Any]:
    """What `config.json` says: all that is needed beside the tensors to build the model again."""
    model, pretraining = getattr(module, "model", None), getattr(module, "pretraining", None)
    if not isinstance(model, ModelParams):
        raise TypeError(f"{type(module).__name__} is none of the project's models")
    config: dict[str, Any] = {"kind": "encoder", "model": model.model_dump()}
    if isinstance(pretraining, PretrainingParams):
        config |= {"kind": pretraining.method, "pretraining": pretraining.model_dump()}
    if isinstance(module, LMIM):  # MIM is one, too
        config |= {"kind": "lmim", "teacher": module.teacher is not None}
    if isinstance(module, Recognizer):
        charset = {"characters": module.charset.characters, "fold_case": module.charset.fold_case}
        config |= {"kind": "recognizer", "decoder": module.decoder_name, "max_length": module.max_length}
        config |= {"charset": charset, "looks": module.looks, "language": module.language, "labels": module.labels}
        config |= {"rotate_tall": module.rotate_tall, "temperature": module.temperature}
    if (recipe := origin_of(module).recipe) is not None:
        config["recipe"] = {name: value for name, value in recipe.items() if name != "sha256"}
    return config


def load_encoder(folder: Path) -> Encoder:
    """The encoder of a folder that save_model wrote."""
    config, tensors = read_folder(folder, "encoder")
    encoder: Any = Encoder(ModelParams(**config["model"]))
    load_strictly(encoder, tensors, str(folder))
    encoder.origin = _origin(folder, config)
    return encoder


def load_lmim(folder: Path) -> LMIM:
    """The whole pre-training model of a folder that save_model wrote, teacher included."""
    config, tensors = read_folder(folder, "lmim")
    model = ModelParams(**config["model"])
    lmim = LMIM(model, PretrainingParams(**config["pretraining"]), Encoder(model) if config["teacher"] else None)
    load_strictly(lmim, tensors, str(folder))
    return lmim


def load_pretraining(folder: Path) -> Any:
    """The whole pre-training model of a folder, of whatever method (registries.METHODS)."""
    require_undamaged(folder, CONFIG)
    config = read_json(folder / CONFIG)
    kind = str(config.get("kind"))
    module = METHODS[kind if kind in METHODS else "lmim"].load(folder)
    module.origin = _origin(folder, config)
    return module


def load_recognizer(folder: Path) -> Recognizer:
    """The recognizer of a folder that save_model wrote, with its charset."""
    config, tensors = read_folder(folder, "recognizer")
    charset = Charset(**config["charset"])
    recognizer: Any = Recognizer(ModelParams(**config["model"]), charset, config["decoder"], config["max_length"])
    recognizer.origin = _origin(folder, config)
    recognizer.labels = config.get("labels", {})
    recognizer.looks, recognizer.language = config.get("looks", 1), config.get("language")
    recognizer.rotate_tall, recognizer.temperature = config.get("rotate_tall"), config.get("temperature")
    load_strictly(recognizer, tensors, str(folder))
    return recognizer


def read_folder(folder: Path, *kinds: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors of a folder that `save_model` wrote.

    Errors: InputError if the folder holds no model, one of another kind, or a damaged one.
    """
    config = read_config(folder, *kinds)
    require_undamaged(folder, WEIGHTS)
    try:
        return config, as_float32(load_file(folder / WEIGHTS), str(folder))
    except SafetensorError as error:
        raise InputError(f"{folder} cannot be read ({error}): it is damaged or from another version") from error


def _origin(folder: Path, config: Mapping[str, Any]) -> Origin:
    found, recipe = read_sums(folder).get(WEIGHTS), config.get("recipe")
    return Origin(None if recipe is None else recipe | {"sha256": found}, found)


def as_float32(tensors: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """Weights in float32, with a line in the log where they were saved in another precision.

    Example:
        >>> as_float32({"bias": torch.zeros(2, dtype=torch.float16)}, "half.pth")["bias"].dtype
        torch.float32
    """
    others = Counter(
        str(tensor.dtype).removeprefix("torch.")
        for tensor in tensors.values()
        if tensor.is_floating_point() and tensor.dtype != torch.float32
    )
    if not others:
        return tensors
    kinds = " and ".join(f"{count} tensors in {kind}" for kind, count in sorted(others.items()))
    log.info("%s holds %s: they are computed with in float32", where, kinds)
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load tensors into a module; one that is missing, left over, of another shape or not finite is an error.

    Args:
        module: the module.
        tensors: values of its whole state_dict.
        where: where the tensors come from, for the error.

    Errors: InputError, one sentence.
    """
    own = module.state_dict()
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(own[name].shape)}"
        for name in own.keys() & tensors.keys()
        if own[name].shape != tensors[name].shape
    ]
    differences = {"missing": own.keys() - tensors.keys(), "left over": tensors.keys() - own.keys()}
    differences["other shape"] = set(shapes)
    parts = [f"{what}: {', '.join(grouped(sorted(names)))}" for what, names in differences.items() if names]
    if parts:
        raise InputError(f"the weights of {where} do not fit the model ({'; '.join(parts)}): check the model preset")
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise InputError(
            f"the weights of {where} hold NaN or infinite numbers ({', '.join(grouped(sorted(broken)))}): training "
            "diverged before they were saved, or the file is damaged; take an earlier checkpoint"
        )
    module.load_state_dict(dict(tensors))


def grouped(names: Iterable[str], limit: int = 12) -> list[str]:
    """Names with the numbers of blocks folded, so that a list stays readable.

    Example:
        >>> grouped(["blocks.0.bias", "blocks.1.bias", "norm.bias"])
        ['blocks.*.bias (2)', 'norm.bias']
    """
    seen = Counter(".".join("*" if part.isdigit() else part for part in name.split(".")) for name in names)
    listed = [name if count == 1 else f"{name} ({count})" for name, count in seen.items()]
    return listed[:limit] + ([f"and {len(listed) - limit} more"] if len(listed) > limit else [])
