"""`python -m benchmarks.readers name=path ...`: the ready reader beside the recognizers that RapidOCR's wheels hold.

Every reader reads the same labeled crops, one at a time on one core, in turns. RapidOCR is optional: install
`rapidocr-onnxruntime` (PP-OCRv4) and `rapidocr` (PP-OCRv6) to see them.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lmim_kedro import open_source
from lmim_kedro.crops.pixels import decode
from lmim_kedro.errors import InputError
from lmim_kedro.models.folder import READY
from lmim_kedro.progress import progress_bar
from lmim_kedro.reading.onnx_reader import OnnxReader
from lmim_kedro.scoring.metrics import score
from lmim_kedro.text.language import ENGLISH

Read = Callable[[np.ndarray], str]
"""Reads one crop, (H, W, 3) uint8 RGB."""

COLD = {
    "ready reader": "from lmim_kedro import OnnxReader; OnnxReader(threads=1).read({path!r})",
    "ready reader, no language model": (
        "from lmim_kedro import OnnxReader; OnnxReader(threads=1).read({path!r}, language='none')"
    ),
    "PP-OCRv4": "from rapidocr_onnxruntime import RapidOCR; RapidOCR(intra_op_num_threads=1)({path!r}, use_det=False)",
    "PP-OCRv6": "from rapidocr import RapidOCR; RapidOCR()({path!r}, use_det=False)",
}
"""A program that reads one image, by reader."""


def ready() -> tuple[Read, list[Path]]:
    """The reader that comes with the package, and its files."""
    reader = OnnxReader(threads=1)
    return lambda crop: reader.read(crop)[0].text, [*(READY / "onnx").glob("*.onnx"), ENGLISH]


def ready_alone() -> tuple[Read, list[Path]]:
    """The same without its language model, as the others have none."""
    reader = OnnxReader(threads=1)
    return lambda crop: reader.read(crop, language="none")[0].text, [*(READY / "onnx").glob("*.onnx")]


def pp_ocr_v4() -> tuple[Read, list[Path]]:
    """PP-OCRv4's mobile recognizer, as the wheel of rapidocr-onnxruntime holds it."""
    import rapidocr_onnxruntime

    engine = rapidocr_onnxruntime.RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1, text_score=0.0)

    def read(crop: np.ndarray) -> str:
        found, _ = engine(np.ascontiguousarray(crop[..., ::-1]), use_det=False, use_cls=False, use_rec=True)
        return found[0][0] if found else ""

    return read, list(Path(rapidocr_onnxruntime.__file__).parent.glob("models/*rec*.onnx"))


def pp_ocr_v6() -> tuple[Read, list[Path]]:
    """PP-OCRv6's small recognizer, as the wheel of rapidocr holds it."""
    import rapidocr

    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    engine = rapidocr.RapidOCR(params={**threads, "Global.text_score": 0.0, "Global.log_level": "error"})

    def read(crop: np.ndarray) -> str:
        found = engine(np.ascontiguousarray(crop[..., ::-1]), use_det=False, use_cls=False, use_rec=True)
        return found.txts[0] if found.txts else ""

    return read, list(Path(rapidocr.__file__).parent.glob("models/*rec*.onnx"))


READERS = {
    "ready reader": (ready, "lmim_kedro"),
    "ready reader, no language model": (ready_alone, "lmim_kedro"),
    "PP-OCRv4": (pp_ocr_v4, "rapidocr_onnxruntime"),
    "PP-OCRv6": (pp_ocr_v6, "rapidocr"),
}


def labeled(sources: Sequence[str], most: int | None) -> dict[str, list[tuple[np.ndarray, str]]]:
    """The crops and labels of sources given as name=path. Errors: InputError for one without labels."""
    found = {}
    for given in sources:
        name, _, path = given.partition("=")
        source = open_source(name, {"path": path})
        crops = [crop for crop in source.read(0, min(len(source), most or len(source))) if crop.data]
        if not all(crop.label for crop in crops):
            raise InputError(f"{path} has crops without labels: give a labeled source")
        found[name] = [(decode(crop.data), crop.label) for crop in crops]
    return found


def cold_seconds(program: str) -> float:
    """Processor seconds of a new process that reads one image."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "word.png")
        Image.new("RGB", (120, 32), "white").save(path)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", program.format(path=path)], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def compare_readers(sources: dict[str, list[tuple[np.ndarray, str]]]) -> pd.DataFrame:
    """A row per reader: WAICS of each source in percent, milliseconds a crop, megabytes, cold start."""
    rows = []
    for name, (make, package) in READERS.items():
        if find_spec(package) is None:
            print(f"{name} is not measured: install {package.replace('_', '-')}", file=sys.stderr)
            continue
        read, files = make()
        row: dict[str, object] = {"reader": name}
        spent, count = 0.0, 0
        with progress_bar(sum(map(len, sources.values())), desc=name, unit="crop") as bar:
            for source, crops in sources.items():
                start, texts = time.process_time(), []
                for crop, _ in crops:
                    texts.append(read(crop))
                    bar.update()
                spent, count = spent + time.process_time() - start, count + len(crops)
                row[source] = round(100 * score(texts, [label for _, label in crops], "waics").accuracy, 1)
        row["ms a crop"] = round(1000 * spent / count, 2)
        row["MB"] = round(sum(file.stat().st_size for file in files) / 1e6, 1)
        row["cold start, s"] = round(min(cold_seconds(COLD[name]) for _ in range(3)), 2)
        rows.append(row)
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readers", description=__doc__)
    parser.add_argument("sources", nargs="+", metavar="NAME=PATH", help="labeled crops, in any layout")
    parser.add_argument("--most", type=int, help="crops of each source (default: all)")
    options = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    print(compare_readers(labeled(options.sources, options.most)).to_markdown(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
