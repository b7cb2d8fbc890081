"""Weights in and out: ours as safetensors + config.json, MAERec's and the released LMIM's both ways.

Every loader is strict: a tensor that is missing, left over or of another shape is an error that lists it. What a
layout is known to carry beside the model (duplicates, fixed tables, optimiser state) is ignored by name and reported.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lmim_kedro.errors import InputError
from lmim_kedro.models.charset import FROM_LABELS, Charset
from lmim_kedro.models.encoder import Encoder, sincos_position
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.seqclr import SeqCLR
from lmim_kedro.params import ModelParams, PretrainingParams, encoder_differences

STUDENT, TEACHER = "model_maeenc.", "model_maeenc_momentum."
LAYOUTS = "MAERec's, the released LMIM's (pre-training or recogniser) and a folder written by this project"


@dataclass(frozen=True)
class Imported:
    """What was taken from a foreign checkpoint, for the log."""

    path: str
    layout: str
    loaded: int
    ignored: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """The import in words."""
        text = f"{self.path}: {self.layout}, {self.loaded} tensors loaded"
        return text + (f"; ignored: {', '.join(_grouped(self.ignored))}" if self.ignored else "; nothing ignored")


# ---- our own layout -------------------------------------------------------------------------------------------------


def save_model(folder: Path, module: nn.Module) -> None:
    """Write `model.safetensors` and `config.json`; each appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    _replace(folder / "model.safetensors", lambda path: save_file(tensors, path))
    text = json.dumps(model_config(module), indent=2, ensure_ascii=False) + "\n"
    _replace(folder / "config.json", lambda path: path.write_text(text, "utf-8"))


def model_config(module: nn.Module) -> dict[str, Any]:
    """What is needed beside the tensors to build the model again; a recogniser's charset is part of it."""
    if isinstance(module, Encoder):
        return {"kind": "encoder", "model": module.model.model_dump()}
    if isinstance(module, LMIM):
        return {
            "kind": "lmim",
            "model": module.model.model_dump(),
            "pretraining": module.pretraining.model_dump(),
            "teacher": module.teacher is not None,
        }
    if isinstance(module, SeqCLR):
        return {"kind": "seqclr", "model": module.model.model_dump(), "pretraining": module.pretraining.model_dump()}
    if isinstance(module, Recognizer):
        return {
            "kind": "recognizer",
            "model": module.model.model_dump(),
            "decoder": module.decoder_name,
            "max_length": module.max_length,
            "charset": {"characters": module.charset.characters, "fold_case": module.charset.fold_case},
            "labels": module.labels,
        }
    raise TypeError(f"{type(module).__name__} is none of the project's models")


def load_encoder(folder: Path) -> Encoder:
    """The encoder of a folder that save_model wrote."""
    config, tensors = _read_folder(folder, "encoder")
    encoder = Encoder(ModelParams(**config["model"]))
    load_strictly(encoder, tensors, str(folder))
    return encoder


def load_lmim(folder: Path) -> LMIM:
    """The whole pre-training model of a folder that save_model wrote, teacher included."""
    config, tensors = _read_folder(folder, "lmim")
    model = ModelParams(**config["model"])
    lmim = LMIM(model, PretrainingParams(**config["pretraining"]), Encoder(model) if config["teacher"] else None)
    load_strictly(lmim, tensors, str(folder))
    return lmim


def load_pretraining(folder: Path) -> LMIM | SeqCLR:
    """The whole pre-training model of a folder, of whatever method."""
    if _kind(folder) == "lmim":
        return load_lmim(folder)
    config, tensors = _read_folder(folder, "seqclr")
    seqclr = SeqCLR(ModelParams(**config["model"]), PretrainingParams(**config["pretraining"]))
    load_strictly(seqclr, tensors, str(folder))
    return seqclr


def load_recognizer(folder: Path) -> Recognizer:
    """The recogniser of a folder that save_model wrote, with its charset."""
    config, tensors = _read_folder(folder, "recognizer")
    charset = Charset(**config["charset"])
    recognizer = Recognizer(ModelParams(**config["model"]), charset, config["decoder"], config["max_length"])
    recognizer.labels = config.get("labels", {})
    load_strictly(recognizer, tensors, str(folder))
    return recognizer


def _kind(folder: Path) -> str:
    try:
        return json.loads((folder / "config.json").read_text("utf-8")).get("kind")
    except FileNotFoundError:
        return "lmim"  # whose loader says what is missing


def require_charset(folder: Path, name: str) -> None:
    """Check that the recogniser in a folder was made with the charset of that name.

    Args:
        folder: that save_model wrote.
        name: as in `finetuning.charset`; with from_labels any charset will do.

    Errors: InputError with the difference.
    """
    if name == FROM_LABELS:
        return
    config = json.loads((folder / "config.json").read_text("utf-8"))
    made, wanted = Charset(**config["charset"]), Charset.named(name)
    if difference := made.difference(wanted):
        raise InputError(
            f"`finetuning.charset` is {name!r}, but the recogniser in {folder} was made with another charset "
            f"({difference}, where here is the recogniser's): set finetuning.charset to its charset, or fine-tune again"
        )


def _read_folder(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} holds no {name}: give a folder in which this project wrote a model")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if config.get("kind") != kind:
        raise InputError(f"{folder} holds a model of kind {config.get('kind')!r}, and {kind!r} is wanted here")
    try:
        ModelParams(**config["model"])
        return config, load_file(folder / "model.safetensors")
    except (SafetensorError, ValidationError) as error:
        raise InputError(f"{folder} cannot be read ({error}): it is damaged or from another version") from error


def _replace(path: Path, write: Any) -> None:
    temporary = path.with_name(path.name + ".part")
    write(temporary)
    os.replace(temporary, path)


def load_strictly(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """load_state_dict whose refusal is one readable sentence."""
    own = module.state_dict()
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(own[name].shape)}"
        for name in sorted(own.keys() & tensors.keys())
        if own[name].shape != tensors[name].shape
    ]
    if missing or extra or shapes:
        parts = [
            f"{what}: {', '.join(_grouped(names))}"
            for what, names in (("missing", missing), ("left over", extra), ("other shape", shapes))
            if names
        ]
        raise InputError(f"the weights of {where} do not fit the model ({'; '.join(parts)}): check the model preset")
    module.load_state_dict(dict(tensors))


# ---- foreign checkpoints --------------------------------------------------------------------------------------------


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The 'model' tensors of a torch.save file, without running anything that it may hold.

    argparse.Namespace, which the released files carry, is the only class let in beside tensors and plain containers.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, and a checkpoint file was expected here: name the file")
    if not path.is_file():
        raise InputError(f"there is no checkpoint at {path}: check the path")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is not a checkpoint that can be read safely ({reason}); known: {LAYOUTS}") from error
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, Mapping) or not all(isinstance(value, Tensor) for value in model.values()):
        raise InputError(f"{path} holds no dictionary of tensors under 'model'; known layouts: {LAYOUTS}")
    return dict(model)


def layout_of(tensors: Mapping[str, Tensor], path: Path) -> str:
    """'lmim_pretraining', 'lmim_recognizer' or 'maerec', told by the names of the tensors."""
    if any(name.startswith(STUDENT) for name in tensors):
        return "lmim_pretraining"
    if "decoder.trg_word_emb.weight" in tensors:
        return "lmim_recognizer"
    if "cls_token" in tensors and "blocks.0.attn.qkv.weight" in tensors:
        return "maerec"
    raise InputError(f"{path} has tensors such as {', '.join(sorted(tensors)[:3])}: of no known layout ({LAYOUTS})")


def import_encoder(path: Path, model: ModelParams, part: str = "student") -> tuple[Encoder, Imported]:
    """An encoder of the given sizes from a checkpoint of any known layout.

    Args:
        path: a file in MAERec's or the released LMIM's layout, or a folder of this project's.
        model: the sizes expected; others are refused.
        part: of a released pre-training checkpoint, "student" or "teacher".
    """
    encoder = Encoder(model)
    if path.is_dir():
        config, tensors = _read_folder(path, "encoder")
        if changed := encoder_differences(ModelParams(**config["model"]), model):
            raise InputError(f"the encoder in {path} has another {', '.join(changed)} than the model preset in use")
        load_strictly(encoder, tensors, str(path))
        return encoder, Imported(str(path), "this project's encoder", len(tensors))
    tensors = read_checkpoint(path)
    layout = layout_of(tensors, path)
    student = {"lmim_pretraining": STUDENT, "lmim_recognizer": "encoder.", "maerec": ""}[layout]
    prefix = TEACHER if layout == "lmim_pretraining" and part == "teacher" else student
    wanted = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if layout == "maerec":
        wanted = {k: v for k, v in wanted.items() if k != "mask_token" and not k.startswith("decoder_")}
    _check_table(wanted.pop("pos_embed", None), encoder.pos_embed, path)
    load_strictly(encoder, wanted, str(path))
    ignored = [name for name in tensors if name.removeprefix(prefix) not in wanted or not name.startswith(prefix)]
    return encoder, Imported(str(path), f"{layout} layout", len(wanted), sorted(ignored))


def import_lmim(path: Path, model: ModelParams, pretraining: PretrainingParams) -> tuple[LMIM, Imported]:
    """The released pre-training model, teacher included."""
    tensors = read_checkpoint(path)
    if (layout := layout_of(tensors, path)) != "lmim_pretraining":
        raise InputError(f"{path} has the {layout} layout: give a released LMIM pre-training checkpoint")
    lmim = LMIM(model, pretraining, Encoder(model))
    ours = {our_name(name): tensor for name, tensor in tensors.items()}
    tables = ("encoder.pos_embed", "teacher.pos_embed", "decoder_pos_embed")
    _check_table(ours.pop("encoder.pos_embed", None), lmim.encoder.pos_embed, path)
    _check_table(ours.pop("teacher.pos_embed", None), lmim.encoder.pos_embed, path)
    _check_table(ours.pop("decoder_pos_embed", None), lmim.decoder_pos_embed, path)
    load_strictly(lmim, ours, str(path))
    ignored = [f"{name} (fixed, compared)" for name in tables]
    return lmim, Imported(str(path), "lmim_pretraining layout", len(ours), ignored)


def import_recognizer(path: Path, model: ModelParams, charset: Charset, max_length: int) -> tuple[Recognizer, Imported]:
    """The released recogniser; the charset must have as many classes as the checkpoint."""
    tensors = read_checkpoint(path)
    if (layout := layout_of(tensors, path)) != "lmim_recognizer":
        raise InputError(f"{path} has the {layout} layout: give a released LMIM recogniser checkpoint")
    classes = tensors["decoder.classifier.weight"].shape[0]
    if classes != charset.classes:
        raise InputError(
            f"{path} has {classes} classes and the charset {charset.classes}: give the charset it was made for"
        )
    recognizer = Recognizer(model, charset, "autoregressive", max_length)
    wanted = dict(tensors)
    ignored = [name for name in wanted if name == "pos_embed" or name.startswith("patch_embed.")]
    for name in ignored:
        del wanted[name]
    _check_table(wanted.pop("encoder.pos_embed", None), recognizer.encoder.pos_embed, path)
    _check_table(wanted.pop("decoder.position_enc.position_table", None), recognizer.decoder.position_table, path)
    load_strictly(recognizer, wanted, str(path))
    ignored += ["encoder.pos_embed (fixed, compared)", "decoder.position_enc.position_table (fixed, compared)"]
    return recognizer, Imported(str(path), "lmim_recognizer layout", len(wanted), ignored)


def export_released(module: Encoder | LMIM | Recognizer, path: Path) -> None:
    """Write a model in the layout of the released code, so that the released code can load it.

    An Encoder becomes a MAERec checkpoint, LMIM and Recognizer those of the released LMIM code. Models that the
    released code cannot express (grey input, overlapping patches, another position grid, CTC) are refused.
    """
    model = module.model
    if model.input != "rgb" or model.patch_overlap or model.position_grid != "square":
        raise InputError("the released code knows rgb input, patches without overlap and the square position grid only")
    tensors = dict(module.state_dict())
    table = sincos_position(model, model.width)
    if isinstance(module, LMIM):
        if module.teacher is None or not module.guided:
            raise InputError(
                "the released pre-training layout holds a guidance branch and a teacher; this model lacks one"
            )
        tensors = {released_name(name): tensor for name, tensor in tensors.items()}
        tensors |= {f"{STUDENT}pos_embed": table, f"{TEACHER}pos_embed": table}
        tensors["decoder_pos_embed"] = sincos_position(model, model.decoder_width)
    elif isinstance(module, Recognizer):
        if module.decoder_name != "autoregressive":
            raise InputError(
                "the released code has no CTC head: only an autoregressive recogniser can be exported to it"
            )
        tensors |= {"encoder.pos_embed": table, "pos_embed": table}
        tensors["decoder.position_enc.position_table"] = module.decoder.position_table
        tensors |= {f"patch_embed.proj.{k}": tensors[f"encoder.patch_embed.proj.{k}"] for k in ("weight", "bias")}
    else:
        tensors["pos_embed"] = table
    content = {
        "model": {k: v.detach().cpu().clone() for k, v in tensors.items()},
        "epoch": 0,
        "args": argparse.Namespace(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, lambda part: torch.save(content, part))


def our_name(name: str) -> str:
    """The name in LMIM of a tensor of the released checkpoint."""
    if name.startswith(TEACHER):
        return "teacher." + name.removeprefix(TEACHER)
    return "encoder." + name.removeprefix(STUDENT) if name.startswith(STUDENT) else name


def released_name(name: str) -> str:
    """The name of one of LMIM's tensors in the released checkpoint."""
    if name.startswith("teacher."):
        return TEACHER + name.removeprefix("teacher.")
    return STUDENT + name.removeprefix("encoder.") if name.startswith("encoder.") else name


def _check_table(found: Tensor | None, expected: Tensor, path: Path) -> None:
    """Fixed tables are computed, not loaded; one that differs means another geometry."""
    if found is None:
        return
    if found.shape != expected.shape or not torch.allclose(found, expected, atol=1e-4):
        raise InputError(
            f"the position embedding in {path} ({tuple(found.shape)}) is not the one of this model "
            f"({tuple(expected.shape)}): check the model preset and its position_grid"
        )


def _grouped(names: Iterable[str], limit: int = 12) -> list[str]:
    """Names with the numbers of blocks folded, so that a list stays readable."""
    seen: dict[str, int] = {}
    for name in names:
        folded = ".".join("*" if part.isdigit() else part for part in name.split("."))
        seen[folded] = seen.get(folded, 0) + 1
    listed = [name if count == 1 else f"{name} ({count})" for name, count in seen.items()]
    return listed[:limit] + ([f"and {len(listed) - limit} more"] if len(listed) > limit else [])
