"""Read crops with an exported recognizer: numpy and onnxruntime, no torch. docs/export.md describes its files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, PositiveInt, ValidationError, model_validator

from lmim_kedro.crops.pixels import to_input
from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json
from lmim_kedro.models.folder import CONFIG, READY, model_folder, require_undamaged
from lmim_kedro.models.saved import SavedCharset
from lmim_kedro.reading.image_reader import ImageReader
from lmim_kedro.recipe import in_brief
from lmim_kedro.text.allowed import Grammar, may_follow
from lmim_kedro.text.charset import Charset
from lmim_kedro.text.spelling import Reading, collapse_all, search, spell

KIND = "onnx_recognizer"
SHRINK_AT = 0.75  # of a batch's crops still being written: fewer, and the others' rows are taken out


class _Image(BaseModel):
    height: PositiveInt
    width: PositiveInt


class _Cache(BaseModel):
    layers: PositiveInt
    heads: PositiveInt
    features: PositiveInt


class _Exported(BaseModel, extra="allow"):
    """What config.json has to say."""

    image: _Image
    charset: SavedCharset
    decoder: str
    graphs: dict[str, str] = Field(min_length=1)
    looks: Literal[1, 3] = 1
    language: str | None = None
    max_length: PositiveInt | None = None
    cache: _Cache | None = None

    @model_validator(mode="after")
    def _has_what_its_decoder_needs(self) -> "_Exported":
        needed = {"recognizer"} if self.decoder == "ctc" else {"encoder", "step"}
        if missing := sorted(needed - self.graphs.keys()):
            raise ValueError(f"graphs names no {', '.join(missing)}")
        if self.decoder != "ctc" and (self.max_length is None or self.cache is None):
            raise ValueError("max_length or cache is missing")
        return self


class OnnxReader(ImageReader):
    """Reads images with an exported recognizer, without torch.

    Args:
        folder: folder with config.json and the graphs that it names, or `hf://owner/name[@revision][/folder]`;
            None: the ready reader, which comes with the package.
        threads: number of threads that onnxruntime computes with; 0: one per core.
        providers: onnxruntime's execution providers; the first that works is used.

    Errors: InputError if onnxruntime is not installed, or the folder does not hold what its config.json says, or is
        damaged.

    Example:
        >>> OnnxReader().charset.characters
        '0123456789abcdefghijklmnopqrstuvwxyz'
        >>> OnnxReader("absent")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        lmim_kedro.errors.InputError: absent holds no config.json: give a folder that ... wrote
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        threads: int = 0,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        folder = READY / "onnx" if folder is None else model_folder(folder)
        require_undamaged(folder, CONFIG)
        self.config = read_json(folder / CONFIG)
        if not self.config:
            raise InputError(f"{folder} holds no config.json: give a folder that `lmim-kedro export-onnx` wrote")
        if (kind := self.config.get("kind")) != KIND:
            raise InputError(
                f"{folder} holds a model of kind {kind!r}, not {KIND!r}: export it first with "
                f"`lmim-kedro export-onnx {folder} TARGET`"
            )
        try:
            _Exported.model_validate(self.config)
        except ValidationError as error:
            raise InputError(
                f"{folder / 'config.json'} is no config of an exported recognizer ({in_brief(error)}): export the "
                "recognizer again"
            ) from error
        self.charset, self.decoder = Charset(**self.config["charset"]), self.config["decoder"]
        self.height, self.width = self.config["image"]["height"], self.config["image"]["width"]
        self.looks, self.language = self.config.get("looks", 1), self.config.get("language")
        self.keep_ratio = self.config["image"].get("aspect") == "kept"
        self.rotate_tall = self.config["image"].get("rotate_tall")
        graphs = self.config["graphs"].items()
        require_undamaged(folder, *self.config["graphs"].values())
        self._sessions = {name: _session(folder / file, threads, providers) for name, file in graphs}

    def read_batch(self, images: np.ndarray, beam: int = 1, grammar: Grammar | None = None) -> list[Reading]:
        """Read uint8 RGB crops (B, 3, height, width).

        An exported autoregressive recognizer follows one hypothesis, also among allowed texts.

        Errors: InputError if it is asked for more.
        """
        if self.decoder == "ctc":
            probabilities = self.columns(images)
            if beam > 1 or grammar is not None:
                return [search(self.charset, columns, beam, grammar) for columns in probabilities]
            return collapse_all(self.charset, probabilities)
        if beam > 1 and grammar is None:
            raise InputError(f"an exported autoregressive recognizer reads greedily, and beam is {beam}: set it to 1")
        symbols, sure = self._greedy(to_input(images), grammar)
        return [spell(self.charset, *row) for row in zip(symbols.tolist(), sure.tolist(), strict=True)]

    def columns(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (B, columns, characters + 1) float64 of the columns of uint8 crops; for CTC only."""
        (probabilities,) = self._sessions["recognizer"].run(["probabilities"], {"images": to_input(images)})
        return np.asarray(probabilities, np.float64)

    def _greedy(self, images: np.ndarray, grammar: Grammar | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Symbols and their probabilities, (B, L) each; the end symbol of probability 1 wherever nothing is written.

        Where no allowed text can be written in time, there are end symbols of probability 0.

        The cache passes from one run to the next as onnxruntime's own values, without a copy; the batch shrinks as
        crops get done.
        """
        from onnxruntime import OrtValue

        value, size, batch = OrtValue.ortvalue_from_numpy, self.config["cache"], len(images)
        end, longest = self.charset.end, self.config["max_length"]
        past, new = (cache_names(kind, size["layers"]) for kind in ("past", "new"))
        (memory,) = self._sessions["encoder"].run_with_ort_values(["memory"], {"images": value(images)})
        cache = [value(np.zeros((batch, size["heads"], 0, size["features"]), np.float32))] * len(past)
        symbols, sure = np.full((batch, longest), end), np.ones((batch, longest), np.float32)
        crops, live = np.arange(batch), np.ones(batch, bool)
        symbol = np.full(batch, self.charset.classes)  # the start symbol
        for place in range(longest):
            feeds = {"symbol": value(symbol), "position": value(np.array(place)), "memory": memory}
            feeds |= dict(zip(past, cache, strict=True))
            found, *cache = self._sessions["step"].run_with_ort_values(["probabilities", *new], feeds)
            probabilities = found.numpy()
            if grammar is not None:
                last = place == longest - 1
                probabilities = (
                    probabilities
                    * may_follow(grammar, symbols[crops, None, :place], probabilities.shape[1], end, last)[:, 0]
                )
            symbol = probabilities.argmax(-1)
            symbols[crops[live], place] = symbol[live]
            sure[crops[live], place] = probabilities.max(-1)[live]
            live &= symbol != end
            if not live.any():
                break
            if live.sum() <= SHRINK_AT * len(live):
                memory, *cache = (value(each.numpy()[live]) for each in (memory, *cache))
                crops, symbol, live = crops[live], symbol[live], live[live]
        symbols[(sure == 0).any(1)] = end  # what was begun before no allowed text could follow
        return symbols, sure


def cache_names(kind: str, layers: int) -> list[str]:
    """Names of the keys and values of every decoder layer: before a step (past), after it (new).

    Example:
        >>> cache_names("past", layers=1)
        ['past_keys_0', 'past_values_0']
    """
    return [f"{kind}_{part}_{layer}" for layer in range(layers) for part in ("keys", "values")]


def _session(path: Path, threads: int, providers: Sequence[str]) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise InputError(
            "onnxruntime, which runs exported recognizers, is missing: `pip install onnxruntime`"
        ) from None
    if not path.is_file():
        raise InputError(f"there is no {path}, which config.json names: export the recognizer again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # onnxruntime's own classes have no common parent
        reason = str(error).splitlines()[0]
        raise InputError(f"onnxruntime cannot use {path} ({reason}): export the recognizer again") from error
