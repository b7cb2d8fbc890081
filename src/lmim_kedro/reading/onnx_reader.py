"""Read crops with an exported recognizer, with numpy and onnxruntime and without torch.

    python -m lmim_kedro.reading.onnx_reader FOLDER IMAGE ...

FOLDER is what `python -m lmim_kedro.reading.export_onnx` wrote; docs/export.md describes its files.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lmim_kedro.crops.pixels import UndecodableCrop, resize, to_input
from lmim_kedro.crops.sources.source import RawCrop
from lmim_kedro.crops.sources.stream import BadCrop, pixels_of
from lmim_kedro.crops.validate import quiet_decoders
from lmim_kedro.errors import InputError
from lmim_kedro.text.charset import Charset

KIND = "onnx_recognizer"
SHRINK_AT = 0.75  # of a batch's crops still being written: fewer, and the others' rows are taken out
INSTALL = "install the extra with `pip install '.[onnx]'`"


class OnnxReading(NamedTuple):
    """What was read in one crop.

    Attributes:
        text: the characters written.
        confidence: of the whole word, 0 to 1: the product over all symbols, the end symbol or CTC's blanks included.
        confidences: of each character of `text`, 0 to 1.
    """

    text: str
    confidence: float
    confidences: tuple[float, ...]


class OnnxRecognizer:
    """A recognizer in ONNX.

    Args:
        folder: holds config.json and the graphs that it names.
        threads: that onnxruntime computes with; 0: one per core.
        providers: onnxruntime's execution providers, the first that works is used.

    Errors: InputError if onnxruntime is not installed, or the folder does not hold what its config.json says.
    """

    def __init__(
        self, folder: str | Path, threads: int = 0, providers: Sequence[str] = ("CPUExecutionProvider",)
    ) -> None:
        folder = Path(folder)
        try:
            self.config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                f"{folder} holds no config.json: give a folder that `python -m lmim_kedro.reading.export_onnx` wrote"
            ) from None
        if (kind := self.config.get("kind")) != KIND:
            raise InputError(
                f"{folder} holds a model of kind {kind!r}, not {KIND!r}: export it first with "
                f"`python -m lmim_kedro.reading.export_onnx {folder} TARGET`"
            )
        self.charset = Charset(**self.config["charset"])
        self.height, self.width = self.config["image"]["height"], self.config["image"]["width"]
        self._sessions = {
            name: _session(folder / file, threads, providers) for name, file in self.config["graphs"].items()
        }

    def read(self, images: np.ndarray) -> list[OnnxReading]:
        """Greedy readings of (B, 3, H, W) uint8 RGB crops of the recognizer's size."""
        if not len(images):
            return []
        scaled = to_input(images)
        if self.config["decoder"] == "ctc":
            (probabilities,) = self._sessions["recognizer"].run(["probabilities"], {"images": scaled})
            best, sure = probabilities.argmax(-1), probabilities.max(-1)
            return [self._collapse(*row) for row in zip(best.tolist(), sure.tolist(), strict=True)]
        symbols, sure = self._greedy(scaled)
        return [self._spell(*row) for row in zip(symbols.tolist(), sure.tolist(), strict=True)]

    def read_encoded(self, blobs: Sequence[bytes], batch_size: int = 32) -> Iterator[OnnxReading]:
        """Readings of encoded images (JPEG, PNG, ...), in order.

        Raises:
            UndecodableCrop: for bytes that are no image; its `place` is that in `blobs`.
        """
        for start in range(0, len(blobs), batch_size):
            images = [self._pixels(blob, start + n) for n, blob in enumerate(blobs[start : start + batch_size])]
            yield from self.read(np.stack(images))

    def _pixels(self, blob: bytes, place: int) -> np.ndarray:
        """(3, H, W) of an encoded image, decoded as `lmim-kedro read` does."""
        try:
            with quiet_decoders():
                return resize(pixels_of(RawCrop("", blob)), self.height, self.width).transpose(2, 0, 1)
        except BadCrop as error:
            unreadable = UndecodableCrop(f"{len(blob):,} bytes that are no usable image ({error})")
            unreadable.place = place
            raise unreadable from error

    def _greedy(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Symbols and their probabilities, (B, L) each; the end symbol of probability 1 wherever nothing is written.

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
            symbol = probabilities.argmax(-1)
            symbols[crops[live], place] = symbol[live]
            sure[crops[live], place] = probabilities.max(-1)[live]
            live &= symbol != end
            if not live.any():
                break
            if live.sum() <= SHRINK_AT * len(live):
                memory, *cache = (value(each.numpy()[live]) for each in (memory, *cache))
                crops, symbol, live = crops[live], symbol[live], live[live]
        return symbols, sure

    def _spell(self, symbols: list[int], probabilities: list[float]) -> OnnxReading:
        """Padding and unknown symbols count for the word's confidence and write no character."""
        pairs = zip(symbols, probabilities, strict=True)
        characters = [probability for symbol, probability in pairs if symbol < len(self.charset)]
        return OnnxReading(self.charset.text(symbols), math.prod(probabilities), tuple(characters))

    def _collapse(self, symbols: list[int], probabilities: list[float]) -> OnnxReading:
        """A character is as sure as the surest of the columns that show it."""
        columns = zip(symbols, probabilities, strict=True)
        runs = [(symbol, max(sure for _, sure in run)) for symbol, run in groupby(columns, itemgetter(0))]
        kept = [(symbol, probability) for symbol, probability in runs if symbol < len(self.charset)]
        text = self.charset.text(symbol for symbol, _ in kept)
        return OnnxReading(text, math.prod(probabilities), tuple(probability for _, probability in kept))


def cache_names(kind: str, layers: int) -> list[str]:
    """Names of the keys and values of every decoder layer: before a step (past), after it (new)."""
    return [f"{kind}_{part}_{layer}" for layer in range(layers) for part in ("keys", "values")]


def _session(path: Path, threads: int, providers: Sequence[str]) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise InputError(f"onnxruntime, which runs exported recognizers, is missing: {INSTALL}") from None
    if not path.is_file():
        raise InputError(f"there is no {path}, which config.json names: export the recognizer again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # onnxruntime's own classes have no common parent
        reason = str(error).splitlines()[0]
        raise InputError(f"onnxruntime cannot use {path} ({reason}): export the recognizer again") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Print path, text and confidence of every image. Returns 1 at a file that cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m lmim_kedro.reading.onnx_reader", description="Read crops without torch."
    )
    parser.add_argument("folder", type=Path, help="what `python -m lmim_kedro.reading.export_onnx` wrote")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    parser.add_argument("--threads", type=int, default=0, help="0: one per core")
    options = parser.parse_args(arguments)
    try:
        recognizer = OnnxRecognizer(options.folder, options.threads)
        for path in options.images:
            (reading,) = recognizer.read_encoded([_bytes(path)])
            print(f"{path}\t{reading.text}\t{reading.confidence:.4f}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    except UndecodableCrop as error:
        print(f"{path} holds {error}: give a JPEG, PNG or another image", file=sys.stderr)
        return 1
    return 0


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give image files") from error


if __name__ == "__main__":
    sys.exit(main())
