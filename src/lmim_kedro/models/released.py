"""Checkpoints in other projects' layouts, in and out: MAERec's and the released LMIM's.

Every loader is strict: a tensor that is missing, left over or of another shape is an error that lists it. What a
layout is known to carry beside the model (duplicates, fixed tables, optimizer state) is ignored by name and reported.
"""

import argparse
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from lmim_kedro.errors import InputError
from lmim_kedro.files import whole
from lmim_kedro.models.encoder import Encoder, sincos_position
from lmim_kedro.models.folder import read_config
from lmim_kedro.models.heads import AutoregressiveHead
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.weights import (
    grouped,
    load_encoder,
    load_pretraining,
    load_recognizer,
    load_strictly,
    read_folder,
    save_model,
)
from lmim_kedro.params import ModelParams, PretrainingParams, RecognizerParams
from lmim_kedro.recipe import encoder_differences
from lmim_kedro.text.charset import Charset

STUDENT, TEACHER = "model_maeenc.", "model_maeenc_momentum."
LAYOUTS = "MAERec's, the released LMIM's (pre-training or recognizer) and a folder written by this project"


@dataclass(frozen=True)
class Imported:
    """What was loaded from a foreign checkpoint, for the log."""

    path: str
    layout: str
    loaded: int
    ignored: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """The import in words."""
        text = f"{self.path}: {self.layout}, {self.loaded} tensors loaded"
        return text + (f"; ignored: {', '.join(grouped(self.ignored))}" if self.ignored else "; nothing ignored")


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
    """Tell the layout by the names of the tensors: 'lmim_pretraining', 'lmim_recognizer' or 'maerec'.

    Example:
        >>> layout_of({"model_maeenc.cls_token": torch.zeros(1)}, Path("checkpoint.pth"))
        'lmim_pretraining'
    """
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
        path: a file in MAERec's or the released LMIM's layout, or a folder that this project wrote.
        model: expected sizes; others are refused.
        part: which encoder of a released pre-training checkpoint, "student" or "teacher".

    Returns: the encoder, and what was loaded and what ignored.

    Errors: InputError if there is no checkpoint, or it does not fit the model.
    """
    encoder = Encoder(model)
    if path.is_dir():
        config, tensors = read_folder(path, "encoder")
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
    tables = dict.fromkeys(("encoder.pos_embed", "teacher.pos_embed"), lmim.encoder.pos_embed)
    tables["decoder_pos_embed"] = lmim.decoder_pos_embed
    for name, table in tables.items():
        _check_table(ours.pop(name, None), table, path)
    load_strictly(lmim, ours, str(path))
    ignored = [f"{name} (fixed, compared)" for name in tables]
    return lmim, Imported(str(path), "lmim_pretraining layout", len(ours), ignored)


def import_recognizer(path: Path, model: ModelParams, charset: Charset, max_length: int) -> tuple[Recognizer, Imported]:
    """The released recognizer; the charset must have as many classes as the checkpoint."""
    tensors = read_checkpoint(path)
    if (layout := layout_of(tensors, path)) != "lmim_recognizer":
        raise InputError(f"{path} has the {layout} layout: give a released LMIM recognizer checkpoint")
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
    table = cast(AutoregressiveHead, recognizer.head).decoder.position_table
    _check_table(wanted.pop("decoder.position_enc.position_table", None), table, path)
    load_strictly(recognizer, wanted, str(path))
    ignored += ["encoder.pos_embed (fixed, compared)", "decoder.position_enc.position_table (fixed, compared)"]
    return recognizer, Imported(str(path), "lmim_recognizer layout", len(wanted), ignored)


def export_released(module: Encoder | LMIM | Recognizer, path: Path) -> None:
    """Write a model in the layout of the released code, so that the released code can load it.

    An Encoder becomes a MAERec checkpoint, LMIM and Recognizer those of the released LMIM code. Models that the
    released code cannot express (gray input, a stem, overlapping patches, another position grid, CTC) are refused.
    """
    model = module.model
    if model.input != "rgb" or model.stem or model.patch_overlap or model.position_grid != "square":
        raise InputError(
            "the released code knows rgb input, patches without stem and overlap, and the square position grid only"
        )
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
        if not isinstance(module.head, AutoregressiveHead):
            raise InputError(
                "the released code has no CTC head: only an autoregressive recognizer can be exported to it"
            )
        tensors |= {"encoder.pos_embed": table, "pos_embed": table}
        tensors["decoder.position_enc.position_table"] = module.head.decoder.position_table
        tensors |= {f"patch_embed.proj.{k}": tensors[f"encoder.patch_embed.proj.{k}"] for k in ("weight", "bias")}
    else:
        tensors["pos_embed"] = table
    content = {
        "model": {k: v.detach().cpu().clone() for k, v in tensors.items()},
        "epoch": 0,
        "args": argparse.Namespace(),
    }
    with whole(path) as part:
        torch.save(content, part)


def our_name(name: str) -> str:
    """The name in LMIM of a tensor of the released checkpoint.

    Example:
        >>> our_name("model_maeenc.cls_token"), released_name("teacher.cls_token")
        ('encoder.cls_token', 'model_maeenc_momentum.cls_token')
    """
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


def sizes(tensors: Mapping[str, Tensor], layout: str, heads: int | None = None) -> ModelParams:
    """Model sizes, from the shapes of a released checkpoint's tensors.

    The number of attention heads leaves no trace in the tensors: 64 features a head (the paper's) unless given.
    """
    prefix = {"lmim_pretraining": STUDENT, "lmim_recognizer": "encoder.", "maerec": ""}[layout]
    width, _, patch_height, patch_width = tensors[f"{prefix}patch_embed.proj.weight"].shape
    changes: dict[str, object] = {}
    if layout == "lmim_pretraining":
        decoder_width = tensors["decoder_embed.weight"].shape[0]
        changes |= {
            "decoder_width": decoder_width,
            "decoder_depth": _count(tensors, r"decoder_blocks\.(\d+)\."),
            "decoder_heads": max(1, decoder_width // 32),
            "decoder_ffn": tensors["decoder_blocks.0.linear1.weight"].shape[0],
        }
    if layout == "lmim_recognizer":
        reader_width = tensors["decoder.trg_word_emb.weight"].shape[1]
        changes["recognizer"] = RecognizerParams(
            width=reader_width,
            depth=_count(tensors, r"decoder\.layer_stack\.(\d+)\."),
            heads=max(1, reader_width // 64),
            ffn=tensors["decoder.layer_stack.0.mlp.w_1.weight"].shape[0],
        )
    return ModelParams.model_validate(
        {
            "patch_height": patch_height,
            "patch_width": patch_width,
            "width": width,
            "depth": _count(tensors, re.escape(prefix) + r"blocks\.(\d+)\."),
            "heads": heads or max(1, width // 64),
            "mlp_ratio": tensors[f"{prefix}blocks.0.mlp.fc1.weight"].shape[0] / width,
            **changes,
        }
    )


def import_file(
    source: Path, target: Path, charset: str, max_length: int, heads: int | None, encoder_only: bool
) -> str:
    """Write a foreign checkpoint as a folder of this project; says what was loaded and what ignored."""
    tensors = read_checkpoint(source)
    layout = layout_of(tensors, source)
    model = sizes(tensors, layout, heads)
    module: Encoder | Recognizer
    if layout == "lmim_recognizer" and not encoder_only:
        module, imported = import_recognizer(source, model, Charset.named(charset), max_length)
    else:
        module, imported = import_encoder(source, model)
    save_model(target, module)
    return f"{imported.sentence()}; written to {target}"


def export_folder(source: Path, target: Path) -> str:
    """Write a folder of this project in the released layout."""
    loaders: dict[str, Callable[[Path], Any]] = {
        "encoder": load_encoder,
        "lmim": load_pretraining,
        "recognizer": load_recognizer,
    }
    kind = read_config(source, *loaders)["kind"]
    export_released(loaders[kind](source), target)
    return f"{source} ({kind}) written to {target} in the released layout"


def inspect(source: Path, heads: int | None) -> str:
    """Layout, sizes and number of parameters of a foreign checkpoint."""
    tensors = read_checkpoint(source)
    layout = layout_of(tensors, source)
    lines = [f"{source}: {layout} layout, {len(tensors)} tensors, {sum(t.numel() for t in tensors.values()):,} numbers"]
    lines += [f"  {name}: {value}" for name, value in sizes(tensors, layout, heads).model_dump().items()]
    if layout == "lmim_recognizer":
        lines.append(f"  classes: {tensors['decoder.classifier.weight'].shape[0]}")
    return "\n".join(lines)


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return 1 + max(int(found[1]) for name in tensors if (found := re.match(pattern, name)))
