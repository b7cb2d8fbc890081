"""Read crops with an exported recogniser, with numpy and onnxruntime and without torch.

    python -m lmim_kedro.onnx_runner FOLDER IMAGE ...

FOLDER is what `python -m lmim_kedro.models.export_onnx` wrote; docs/export.md describes its files.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lmim_kedro.crops.decode import UndecodableCrop, decode_batch
from lmim_kedro.errors import InputError
from lmim_kedro.models.charset import Charset

KIND = "onnx_recognizer"
INSTALL = "install the extra with `pip install lmim-kedro[onnx]`"


class OnnxReading(NamedTuple):
    """What was read in one crop.

    Attributes:
        text: the characters written.
        confidence: product over all symbols, the end symbol's or CTC's blanks included, 0 to 1; as the recogniser's.
        characters: probability of each character of the text.
    """

    text: str
    confidence: float
    characters: tuple[float, ...]


class OnnxRecognizer:
    """A recogniser in ONNX.

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
        except FileNotFoundError:
            raise InputError(
                f"{folder} holds no config.json: give a folder that `python -m lmim_kedro.models.export_onnx` wrote"
            ) from None
        if (kind := self.config.get("kind")) != KIND:
            raise InputError(
                f"{folder} holds a model of kind {kind!r}, not {KIND!r}: export it first with "
                f"`python -m lmim_kedro.models.export_onnx {folder} TARGET`"
            )
        self.charset = Charset(**self.config["charset"])
        self.height, self.width = self.config["image"]["height"], self.config["image"]["width"]
        self._sessions = {
            name: _session(folder / file, threads, providers) for name, file in self.config["graphs"].items()
        }

    def read(self, images: np.ndarray) -> list[OnnxReading]:
        """Greedy readings of (B, 3, H, W) uint8 RGB crops of the recogniser's size."""
        if not len(images):
            return []
        scaled = images.astype(np.float32) / 127.5 - 1
        if self.config["decoder"] == "ctc":
            (probabilities,) = self._sessions["recognizer"].run(["probabilities"], {"images": scaled})
            return [self._collapse(*row) for row in _best(probabilities)]
        return [self._until_end(*row) for row in _best(self._greedy(scaled))]

    def read_encoded(self, blobs: Sequence[bytes], batch_size: int = 32) -> Iterator[OnnxReading]:
        """Readings of encoded images (JPEG, PNG, ...), in order.

        Raises:
            UndecodableCrop: for bytes that are no image; its `place` is that in `blobs`.
        """
        for start in range(0, len(blobs), batch_size):
            try:
                images, _ = decode_batch(blobs[start : start + batch_size], self.height, self.width)
            except UndecodableCrop as error:
                error.place += start
                raise
            yield from self.read(images)

    def _greedy(self, images: np.ndarray) -> np.ndarray:
        """Probabilities (B, L, C) of each step; it stops when every crop has written the end symbol.

        Keys and values pass from one run to the next as onnxruntime's own values, without a copy.
        """
        from onnxruntime import OrtValue

        value, cache, batch = OrtValue.ortvalue_from_numpy, self.config["cache"], len(images)
        memory, past, new = (cache_names(kind, cache["layers"]) for kind in ("memory", "past", "new"))
        encoded = self._sessions["encoder"].run_with_ort_values(memory, {"images": value(images)})
        feeds = dict(zip(memory, encoded, strict=True))
        nothing = np.zeros((batch, cache["heads"], 0, cache["features"]), np.float32)
        kept = [value(nothing)] * len(past)
        symbols = np.full(batch, self.charset.classes)
        ended = np.zeros(batch, bool)
        steps = []
        for step in range(self.config["max_length"]):
            feeds |= dict(zip(past, kept, strict=True))
            feeds |= {"symbol": value(symbols), "position": value(np.array(step))}
            probabilities, *kept = self._sessions["step"].run_with_ort_values(["probabilities", *new], feeds)
            steps.append(probabilities.numpy())
            symbols = steps[-1].argmax(-1)
            ended |= symbols == self.charset.end
            if ended.all():
                break
        return np.stack(steps, 1)

    def _until_end(self, symbols: list[int], probabilities: list[float]) -> OnnxReading:
        steps = symbols.index(self.charset.end) + 1 if self.charset.end in symbols else len(symbols)
        return self._reading(symbols[:steps], probabilities[:steps], float(np.prod(probabilities[:steps])))

    def _collapse(self, symbols: list[int], probabilities: list[float]) -> OnnxReading:
        places = [i for i, symbol in enumerate(symbols) if i == 0 or symbols[i - 1] != symbol]
        kept = [(symbols[i], probabilities[i]) for i in places if symbols[i] < len(self.charset)]
        return self._reading([s for s, _ in kept], [p for _, p in kept], float(np.prod(probabilities)))

    def _reading(self, symbols: list[int], probabilities: list[float], confidence: float) -> OnnxReading:
        written = [p for s, p in zip(symbols, probabilities, strict=True) if s < len(self.charset)]
        return OnnxReading(self.charset.text(symbols), confidence, tuple(written))


def cache_names(kind: str, layers: int) -> list[str]:
    """Names of the keys and values of every decoder layer: of the crop (memory), of symbols so far (past, new)."""
    return [f"{kind}_{part}_{layer}" for layer in range(layers) for part in ("keys", "values")]


def _best(probabilities: np.ndarray) -> Iterator[tuple[list[int], list[float]]]:
    """Symbols and their probabilities, crop by crop, of (B, L, C)."""
    yield from zip(probabilities.argmax(-1).tolist(), probabilities.max(-1).tolist(), strict=True)


def _session(path: Path, threads: int, providers: Sequence[str]) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise InputError(f"onnxruntime, which runs exported recognisers, is missing: {INSTALL}") from None
    if not path.is_file():
        raise InputError(f"there is no {path}, which config.json names: export the recogniser again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # onnxruntime's own classes have no common parent
        reason = str(error).splitlines()[0]
        raise InputError(f"onnxruntime cannot use {path} ({reason}): export the recogniser again") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Print path, text and confidence of every image. Returns 1 at a file that cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m lmim_kedro.onnx_runner", description="Read crops without torch.")
    parser.add_argument("folder", type=Path, help="what `python -m lmim_kedro.models.export_onnx` wrote")
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
