"""Starts fine-tuning from a whole recognizer: encoder, decoder and head, for another charset where one is asked for."""

import torch
from torch import Tensor

from lmim_kedro.errors import InputError
from lmim_kedro.models.folder import named_place, require_encoder
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.released import Imported, import_recognizer, layout_of, read_checkpoint
from lmim_kedro.models.weights import load_recognizer, load_strictly
from lmim_kedro.params import FinetuningParams, ModelParams
from lmim_kedro.text.charset import BUILT_IN, SPECIAL, Charset


def load_start(finetuning: FinetuningParams, model: ModelParams) -> tuple[Recognizer, Imported]:
    """Load the recognizer that `finetuning.start` names.

    Args:
        finetuning: `start` is a folder that this project wrote, a recognizer checkpoint of the released code, or
            "ready", the ready reader.
        model: sizes in use.

    Returns: the recognizer, and what was loaded.

    Errors: InputError if there is none, or it has another decoder or other sizes.

    Example:
        >>> from lmim_kedro.models.folder import READY, read_config
        >>> ready = ModelParams(**read_config(READY / "recognizer", "recognizer")["model"])
        >>> wanted = FinetuningParams.model_construct(start="ready", decoder="ctc", charset="from_start")
        >>> recognizer, imported = load_start(wanted, ready)
        >>> recognizer.charset.characters[:12], imported.layout
        ('0123456789ab', "this project's recognizer")
    """
    named, decoder = str(finetuning.start), finetuning.decoder
    place = named_place(named)
    if place.is_dir():
        require_encoder(named, model)
        recognizer = load_recognizer(place)
        _require_decoder(recognizer.decoder_name, named, decoder)
        return recognizer, Imported(named, "this project's recognizer", len(recognizer.state_dict()), [])
    tensors = read_checkpoint(place)
    if (layout := layout_of(tensors, place)) != "lmim_recognizer":
        raise InputError(
            f"`finetuning.start`: {named} has the {layout} layout, which holds no recognizer: name one, or fine-tune "
            "the encoder alone with pretraining.method=none and pretraining.weights"
        )
    _require_decoder("autoregressive", named, decoder)
    classes = len(tensors["decoder.classifier.weight"])
    for charset in map(Charset.named, BUILT_IN):
        if charset.classes == classes:
            return import_recognizer(place, model, charset, finetuning.max_length)
    raise InputError(
        f"`finetuning.start`: {named} has {classes} classes, and no built-in charset has {classes - len(SPECIAL)} "
        "characters: make a folder of it with `lmim-kedro convert import --charset`, and name the folder"
    )


def take_over(recognizer: Recognizer, start: Recognizer, where: str) -> None:
    """Give a recognizer the weights of another one, with the rows of each character that it writes as well.

    Rows of characters that are new keep their fresh weights. A recognizer that folds case
    wrote A as a, so both begin with the row of a. The symbols after the characters (end, padding, unknown and start;
    CTC's blank) always stay.

    Args:
        recognizer: freshly initialized; changed in place.
        start: of the same sizes and decoder.
        where: where `start` is from, for the error.

    Errors: InputError if the sizes differ.

    Example:
        >>> small = ModelParams(width=24, depth=1, heads=3)
        >>> start, recognizer = (Recognizer(small, Charset(characters), "ctc") for characters in ("abc", "xcb"))
        >>> take_over(recognizer, start, "abc")
        >>> torch.equal(recognizer.head.classifier.weight[1:], start.head.classifier.weight[[2, 1, 3]])
        True
    """
    tensors, fresh = start.state_dict(), recognizer.state_dict()
    old, new = start.charset.characters, recognizer.charset.characters
    if old != new:
        same = [(place, old.find(start.charset.fold(one))) for place, one in enumerate(new)]
        kept, taken = torch.tensor([pair for pair in same if pair[1] >= 0], dtype=torch.long).reshape(-1, 2).unbind(1)
        for name in _rows_of_symbols(start):
            rows = fresh[name].clone()
            rows[kept], rows[len(new) :] = tensors[name][taken], tensors[name][len(old) :]
            tensors[name] = rows
    load_strictly(recognizer, tensors, where)


def _require_decoder(found: str, named: str, wanted: str) -> None:
    if found != wanted:
        raise InputError(
            f"`finetuning.start`: the recognizer {named} has the decoder {found!r}, but `finetuning.decoder` is "
            f"{wanted!r}: set finetuning.decoder to {found}"
        )


def _rows_of_symbols(recognizer: Recognizer) -> list[str]:
    """Names of the tensors with a row for each symbol: those that one more character gives one more row."""
    characters = recognizer.charset.characters
    unused = next(character for character in map(chr, range(0x110000)) if character not in characters)
    with torch.device("meta"):
        larger = Recognizer(
            recognizer.model, Charset(characters + unused), recognizer.decoder_name, recognizer.max_length
        )
    own: dict[str, Tensor] = recognizer.state_dict()
    return [
        name
        for name, tensor in larger.state_dict().items()
        if tensor.shape == (len(own[name]) + 1, *own[name].shape[1:])
    ]
