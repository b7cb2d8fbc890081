"""Checkpoints from and to the released code: `python -m lmim_kedro.models.convert {inspect,import,export}`.

inspect FILE           what a checkpoint holds, and how large its model is
import FILE FOLDER     the released recogniser, or the encoder of any known layout -> a folder of this project
export FOLDER FILE     a folder of this project -> a file that the released code loads
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from lmim_kedro.errors import InputError
from lmim_kedro.models import weights
from lmim_kedro.models.charset import Charset
from lmim_kedro.models.encoder import Encoder
from lmim_kedro.models.lmim import LMIM
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.params import ModelParams, RecognizerParams


def sizes(tensors: Mapping[str, Tensor], layout: str, heads: int | None = None) -> ModelParams:
    """The model sizes that a released checkpoint's tensors tell.

    The number of attention heads leaves no trace in the tensors: 64 features a head (the paper's) unless given.
    """
    prefix = {"lmim_pretraining": weights.STUDENT, "lmim_recognizer": "encoder.", "maerec": ""}[layout]
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
    tensors = weights.read_checkpoint(source)
    layout = weights.layout_of(tensors, source)
    model = sizes(tensors, layout, heads)
    module: Encoder | Recognizer
    if layout == "lmim_recognizer" and not encoder_only:
        module, imported = weights.import_recognizer(source, model, Charset.named(charset), max_length)
    else:
        module, imported = weights.import_encoder(source, model)
    weights.save_model(target, module)
    return f"{imported.sentence()}; written to {target}"


def export_folder(source: Path, target: Path) -> str:
    """Write a folder of this project in the released layout."""
    config = source / "config.json"
    if not config.is_file():
        raise InputError(f"{source} holds no config.json: give a folder in which this project wrote a model")
    kind = json.loads(config.read_text("utf-8")).get("kind")
    loaders: dict[str, Callable[[Path], Encoder | LMIM | Recognizer]] = {
        "encoder": weights.load_encoder,
        "lmim": weights.load_lmim,
        "recognizer": weights.load_recognizer,
    }
    if kind not in loaders:
        raise InputError(f"{source} holds a model of kind {kind!r}, which is none of {', '.join(loaders)}")
    weights.export_released(loaders[kind](source), target)
    return f"{source} ({kind}) written to {target} in the released layout"


def inspect(source: Path, heads: int | None) -> str:
    """Layout, sizes and number of parameters of a foreign checkpoint."""
    tensors = weights.read_checkpoint(source)
    layout = weights.layout_of(tensors, source)
    lines = [f"{source}: {layout} layout, {len(tensors)} tensors, {sum(t.numel() for t in tensors.values()):,} numbers"]
    lines += [f"  {name}: {value}" for name, value in sizes(tensors, layout, heads).model_dump().items()]
    if layout == "lmim_recognizer":
        lines.append(f"  classes: {tensors['decoder.classifier.weight'].shape[0]}")
    return "\n".join(lines)


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return 1 + max(int(found[1]) for name in tensors if (found := re.match(pattern, name)))


def main() -> int:
    """The command line; 0, or 2 with a sentence where a file cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m lmim_kedro.models.convert", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, arguments in (("inspect", ["file"]), ("import", ["file", "folder"]), ("export", ["folder", "file"])):
        command = commands.add_parser(name)
        for argument in arguments:
            command.add_argument(argument, type=Path)
        if name != "export":
            command.add_argument("--heads", type=int, help="attention heads of the encoder, if not 64 features each")
        if name == "import":
            command.add_argument("--encoder", action="store_true", help="of a recogniser, the encoder only")
            command.add_argument("--charset", default="english_94", help="of a recogniser")
            command.add_argument("--max-length", type=int, default=25, help="of a recogniser; 40 for Chinese")
    given = parser.parse_args()
    try:
        if given.command == "inspect":
            print(inspect(given.file, given.heads))
        elif given.command == "import":
            print(import_file(given.file, given.folder, given.charset, given.max_length, given.heads, given.encoder))
        else:
            print(export_folder(given.folder, given.file))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
