"""Checkpoints in other projects' layouts, in and out: MAERec's and the released LMIM's.

Every loader is strict: a tensor that is missing, left over or of another shape is an error that lists it. What a
layout is known to carry beside the model (duplicates, fixed tables) is ignored by name and reported.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from lmim_kedro.errors import InputError
from lmim_kedro.files import whole
from lmim_kedro.models.encoder import Encoder, sincos_position
from lmim_kedro.models.folder import named_place, read_config, require_encoder
from lmim_kedro.models.heads import AutoregressiveHead
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.weights import (
    as_float32,
    grouped,
    load_encoder,
    load_pretraining,
    load_recognizer,
    load_strictly,
    read_folder,
    save_model,
)
from lmim_kedro.params import ModelParams, PretrainingParams, RecognizerParams
from lmim_kedro.text.charset import Charset

STUDENT, TEACHER = "model_maeenc.", "model_maeenc_momentum."
RENAMED = {TEACHER: "teacher.", STUDENT: "encoder."}  # first parts of names: the released pre-training's, and LMIM's
ENCODER = {"lmim_pretraining": STUDENT, "lmim_recognizer": "encoder.", "maerec": ""}  # layout -> its encoder's prefix
_PRECISIONS = (torch.float32, torch.float16, torch.bfloat16)  # in which a fixed table may have been saved
LAYOUTS = "MAERec's, the released LMIM's (pre-training or recognizer) and a folder written by this project"


class Imported(NamedTuple):
    """What was loaded from a foreign checkpoint, for the log: path, layout, number of tensors, and what was ignored."""

    path: str
    layout: str
    loaded: int
    ignored: list[str]

    def sentence(self) -> str:
        """The import in words.

        Example:
            >>> Imported("a.pth", "maerec layout", 27, ["mask_token"]).sentence()
            'a.pth: maerec layout, 27 tensors loaded; ignored: mask_token'
        """
        text = f"{self.path}: {self.layout}, {self.loaded} tensors loaded"
        return text + (f"; ignored: {', '.join(grouped(self.ignored))}" if self.ignored else "; nothing ignored")


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The 'model' tensors of a torch.save file, without running anything that it may hold.

    Weights saved in another precision (float16, bfloat16, float64) become float32, with a line in the log.
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
    return as_float32(dict(model), str(path))


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


def import_encoder(named: str | Path, model: ModelParams, part: str = "student") -> tuple[Encoder, Imported]:
    """An encoder of the given sizes from a checkpoint of any known layout.

    Args:
        named: a file in MAERec's or the released LMIM's layout, a folder with an encoder or a recognizer that this
            project wrote, or "ready", the ready reader.
        model: expected sizes; others are refused.
        part: which encoder of a released pre-training checkpoint, "student" or "teacher".

    Returns: the encoder, and what was loaded and what ignored.

    Errors: InputError if there is no checkpoint, or it does not fit the model.
    """
    encoder, path = Encoder(model), named_place(named)
    if path.is_dir():
        kind = require_encoder(named, model)["kind"]
        _, tensors = read_folder(path, kind)
        prefix = "encoder." if kind == "recognizer" else ""
        wanted = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        load_strictly(encoder, wanted, str(path))
        ignored = sorted(name for name in tensors if not name.startswith(prefix))
        return encoder, Imported(str(named), f"this project's {kind}", len(wanted), ignored)
    tensors = read_checkpoint(path)
    layout = layout_of(tensors, path)
    prefix = TEACHER if layout == "lmim_pretraining" and part == "teacher" else ENCODER[layout]
    wanted = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if layout == "maerec":
        wanted = {k: v for k, v in wanted.items() if k != "mask_token" and not k.startswith("decoder_")}
    _take_tables(wanted, {"pos_embed": encoder.pos_embed}, path)
    load_strictly(encoder, wanted, str(path))
    ignored = [name for name in tensors if name.removeprefix(prefix) not in wanted or not name.startswith(prefix)]
    return encoder, Imported(str(path), f"{layout} layout", len(wanted), sorted(ignored))


def import_lmim(path: Path, model: ModelParams, pretraining: PretrainingParams) -> tuple[LMIM, Imported]:
    """The released pre-training model, teacher included."""
    tensors = _read_layout(path, "lmim_pretraining", "pre-training")
    lmim = LMIM(model, pretraining, Encoder(model))
    ours = {our_name(name): tensor for name, tensor in tensors.items()}
    tables = dict.fromkeys(("encoder.pos_embed", "teacher.pos_embed"), lmim.encoder.pos_embed)
    ignored = _take_tables(ours, tables | {"decoder_pos_embed": lmim.decoder_pos_embed}, path)
    load_strictly(lmim, ours, str(path))
    return lmim, Imported(str(path), "lmim_pretraining layout", len(ours), ignored)


def import_recognizer(path: Path, model: ModelParams, charset: Charset, max_length: int) -> tuple[Recognizer, Imported]:
    """The released recognizer; the charset must have as many classes as the checkpoint."""
    tensors = _read_layout(path, "lmim_recognizer", "recognizer")
    classes = tensors["decoder.classifier.weight"].shape[0]
    if classes != charset.classes:
        raise InputError(
            f"{path} has {classes} classes and the charset {charset.classes}: give the charset it was made for"
        )
    recognizer = Recognizer(model, charset, "autoregressive", max_length)
    ignored = [name for name in tensors if name == "pos_embed" or name.startswith("patch_embed.")]
    wanted = {name: tensor for name, tensor in tensors.items() if name not in ignored}
    written = cast(AutoregressiveHead, recognizer.head).decoder.position_table
    tables = {"encoder.pos_embed": recognizer.encoder.pos_embed, "decoder.position_enc.position_table": written}
    ignored += _take_tables(wanted, tables, path)
    load_strictly(recognizer, wanted, str(path))
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
    copies = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    with whole(path) as part:
        torch.save({"model": copies, "epoch": 0, "args": argparse.Namespace()}, part)


def our_name(name: str) -> str:
    """The name in LMIM of a tensor of the released checkpoint.

    Example:
        >>> our_name("model_maeenc.cls_token"), released_name("teacher.cls_token")
        ('encoder.cls_token', 'model_maeenc_momentum.cls_token')
    """
    return next((ours + name.removeprefix(its) for its, ours in RENAMED.items() if name.startswith(its)), name)


def released_name(name: str) -> str:
    """The name of one of LMIM's tensors in the released checkpoint."""
    return next((its + name.removeprefix(ours) for its, ours in RENAMED.items() if name.startswith(ours)), name)


def _read_layout(path: Path, layout: str, what: str) -> dict[str, Tensor]:
    tensors = read_checkpoint(path)
    if (found := layout_of(tensors, path)) != layout:
        raise InputError(f"{path} has the {found} layout: give a released LMIM {what} checkpoint")
    return tensors


def _take_tables(tensors: dict[str, Tensor], tables: Mapping[str, Tensor], path: Path) -> list[str]:
    """Take fixed tables out: they are computed, not loaded, and one that differs means another geometry."""
    for name, expected in tables.items():
        found = tensors.pop(name, expected)
        if found.shape != expected.shape or not any(
            torch.allclose(found, expected.to(kind).float(), atol=1e-4) for kind in _PRECISIONS
        ):
            raise InputError(
                f"the position embedding in {path} ({tuple(found.shape)}) is not the one of this model "
                f"({tuple(expected.shape)}): check the model preset and its position_grid"
            )
    return [f"{name} (fixed, compared)" for name in tables]


def sizes(tensors: Mapping[str, Tensor], layout: str, heads: int | None = None) -> ModelParams:
    """Model sizes, from the shapes of a released checkpoint's tensors.

    The number of attention heads leaves no trace in the tensors: 64 features a head (the paper's) unless given.
    """
    prefix = ENCODER[layout]
    width, _, patch_height, patch_width = tensors[f"{prefix}patch_embed.proj.weight"].shape
    found: dict[str, object] = {
        "patch_height": patch_height,
        "patch_width": patch_width,
        "width": width,
        "depth": _depth(tensors, f"{prefix}blocks"),
        "heads": heads or max(1, width // 64),
        "mlp_ratio": tensors[f"{prefix}blocks.0.mlp.fc1.weight"].shape[0] / width,
    }
    if layout == "lmim_pretraining":
        decoder_width = tensors["decoder_embed.weight"].shape[0]
        found |= {"decoder_width": decoder_width, "decoder_heads": max(1, decoder_width // 32)}
        found |= {"decoder_depth": _depth(tensors, "decoder_blocks")}
        found |= {"decoder_ffn": tensors["decoder_blocks.0.linear1.weight"].shape[0]}
    if layout == "lmim_recognizer":
        reader_width = tensors["decoder.trg_word_emb.weight"].shape[1]
        found["recognizer"] = RecognizerParams(
            width=reader_width,
            depth=_depth(tensors, "decoder.layer_stack"),
            heads=max(1, reader_width // 64),
            ffn=tensors["decoder.layer_stack.0.mlp.w_1.weight"].shape[0],
        )
    return ModelParams.model_validate(found)


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
    loaders: dict[str, Callable[[Path], Any]]
    loaders = {"encoder": load_encoder, "lmim": load_pretraining, "recognizer": load_recognizer}
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


def _depth(tensors: Mapping[str, Tensor], blocks: str) -> int:
    """Number of blocks whose names begin with `blocks`, a dot and their number."""
    return len({name.split(".")[blocks.count(".") + 1] for name in tensors if name.startswith(f"{blocks}.")})
