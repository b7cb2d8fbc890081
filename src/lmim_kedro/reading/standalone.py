"""Read words with the graphs in this folder: `python read.py IMAGE_OR_FOLDER...`.

It needs numpy, onnxruntime and OpenCV, and nothing else. Each line has path, word and confidence, separated by tabs;
an image that cannot be read is named on stderr, and the others are read all the same. Settings come from config.json.
"""

import json
import os
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "50000000")  # larger images are not decoded; OpenCV asks once

import cv2
import numpy as np
import onnxruntime

MOST_BYTES, MOST_SCANS = 64 * 2**20, 100  # of a file, and of a JPEG
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
LOOKS = {1: (0.0,), 3: (0.0, 0.06, -0.035)}  # margins on all sides, as shares of the side


class Reader:
    """Reads words with the graphs in a folder."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text("utf-8"))
        self.characters = self.config["charset"]["characters"]
        graphs = self.config["graphs"].items()
        self.sessions = {name: onnxruntime.InferenceSession(str(folder / file)) for name, file in graphs}

    def read(self, image: np.ndarray) -> tuple[str, float]:
        """Read one word in an image (h, w, 3) as OpenCV decodes it, BGR; returns text and confidence."""
        small = prepare(image[..., ::-1], self.config["image"])
        looks = [self.read_once(with_margin(small, margin)) for margin in LOOKS[self.config["looks"]]]
        return max(looks, key=lambda reading: reading[1])

    def read_once(self, image: np.ndarray) -> tuple[str, float]:
        """Read an image (height, width, 3) RGB of the size that the graphs take."""
        given = (image.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        if self.config["decoder"] == "ctc":
            (columns,) = self.sessions["recognizer"].run(["probabilities"], {"images": given})[0]
            symbols = [int(symbol) for symbol, _ in groupby(columns.argmax(1))]  # one for each run of equal columns
            sure = columns.max(1)
        else:
            symbols, sure = self.write(given)
        known = (symbol for symbol in symbols if symbol < len(self.characters))
        return "".join(self.characters[symbol] for symbol in known), float(np.prod(sure, dtype=np.float64))

    def write(self, image: np.ndarray) -> tuple[list[int], list[float]]:
        """Symbols and their probabilities, one after the other, up to the end symbol."""
        size, end = self.config["cache"], len(self.characters)
        layers = [f"{part}_{layer}" for layer in range(size["layers"]) for part in ("keys", "values")]
        (memory,) = self.sessions["encoder"].run(["memory"], {"images": image})
        cache = [np.zeros((1, size["heads"], 0, size["features"]), np.float32)] * len(layers)
        symbols: list[int] = []
        sure: list[float] = []
        symbol = end + 3  # the start symbol
        for place in range(self.config["max_length"]):
            feeds: dict[str, Any] = {"symbol": np.array([symbol]), "position": np.array(place), "memory": memory}
            feeds |= {f"past_{layer}": value for layer, value in zip(layers, cache, strict=True)}
            found, *cache = self.sessions["step"].run(["probabilities", *(f"new_{layer}" for layer in layers)], feeds)
            symbol = int(found[0].argmax())
            symbols.append(symbol)
            sure.append(float(found[0, symbol]))
            if symbol == end:
                break
        return symbols, sure


def prepare(image: np.ndarray, how: dict[str, Any]) -> np.ndarray:
    """Turn an image (h, w, 3) that is too tall, and bring it to the size that the graphs take."""
    tall = how.get("rotate_tall") and image.shape[0] > how["rotate_tall"] * image.shape[1]
    image = np.ascontiguousarray(np.rot90(image) if tall else image)
    if how["aspect"] == "ignored":
        return resize(image, how["height"], how["width"])
    width = min(how["width"], max(1, round(image.shape[1] * how["height"] / image.shape[0])))
    image = resize(image, how["height"], width)
    return cv2.copyMakeBorder(image, 0, 0, 0, how["width"] - width, cv2.BORDER_REPLICATE)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize to (height, width, 3): area means along a side that shrinks, bicubic along one that grows."""
    smaller = min(image.shape[1], width), min(image.shape[0], height)
    image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)


def with_margin(image: np.ndarray, margin: float) -> np.ndarray:
    """Add a margin on each side, a share of the side, in which the border goes on; negative: cut off."""
    if not margin:
        return image
    height, width = image.shape[:2]
    shown = np.array([[1 + 2 * margin, 0, margin - margin * width], [0, 1 + 2 * margin, margin - margin * height]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, shown, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def images_below(path: Path) -> Iterator[Path]:
    """The images below a folder, in order; a file alone."""
    if not path.is_dir():
        yield path
    for file in sorted(path.rglob("*")) if path.is_dir() else ():
        if file.suffix.lower() in SUFFIXES:
            yield file


def decode(file: Path) -> np.ndarray | str:
    """The pixels of an image (h, w, 3) BGR, or why there are none."""
    if not file.is_file():
        return "no regular file" if file.exists() else "missing file"
    if file.stat().st_size > MOST_BYTES:
        return f"larger than {MOST_BYTES:,} bytes"
    data = file.read_bytes()
    if (data.startswith(b"\x89PNG") and not has_whole_chunks(data)) or not data:
        return "undecodable"  # OpenCV would reserve as many bytes as a chunk claims to have
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > MOST_SCANS:
        return "undecodable"  # each scan of a JPEG goes over all of its pixels
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return "undecodable or too large"
    return "undecodable" if pixels is None else pixels


def has_whole_chunks(data: bytes) -> bool:
    """Whether no chunk of a PNG claims more bytes than there are."""
    place = 8
    while place + 8 <= len(data) and data[place + 4 : place + 8] != b"IEND":
        length = int.from_bytes(data[place : place + 4], "big")
        if length > len(data) - place - 8:
            return False
        place += 12 + length
    return True


def shown(path: Path) -> str:
    """A path on one line, without characters that a terminal would act on."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in str(path)
    )


def main(arguments: list[str]) -> int:
    """Read all images; returns 1 if one could not be read, 2 if none was named."""
    if not arguments:
        print("name images or folders: python read.py IMAGE_OR_FOLDER...", file=sys.stderr)
        return 2
    reader, failed = Reader(Path(__file__).parent), 0
    for image in (image for named in arguments for image in images_below(Path(named))):
        pixels = decode(image)
        if isinstance(pixels, str):
            print(f"{shown(image)}: {pixels}", file=sys.stderr)
            failed += 1
            continue
        text, confidence = reader.read(pixels)
        print(f"{shown(image)}\t{text}\t{confidence:.4f}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
