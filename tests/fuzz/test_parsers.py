"""Whatever a file holds, it is read or refused in a sentence: no other exception comes out of a parser.

A few inputs each in the usual run; `make fuzz` draws thousands. An input that did something else is kept in findings/,
below the name of its parser, and is tried every time.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lmim_kedro.config import ConfigLoader
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.validate import decode_checked
from lmim_kedro.errors import InputError
from lmim_kedro.files import read_json
from lmim_kedro.models.folder import READY, read_config
from lmim_kedro.reading.about import about_recognizer
from lmim_kedro.reading.onnx_reader import OnnxReader
from lmim_kedro.recipe import saved_recipe, up_to_date
from lmim_kedro.scoring.compare import read_predictions
from lmim_kedro.scoring.metrics import METRICS, score
from lmim_kedro.settings import CONFIG_LOADER_ARGS
from lmim_kedro.text.allowed import Allowed, Grammar
from lmim_kedro.text.charset import Charset, check_labels
from lmim_kedro.training.jobs import Job

FINDINGS = Path(__file__).parent / "findings"
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 30, 3), np.uint8)
IMAGES = {
    suffix: cv2.imencode(f".{suffix}", PIXELS)[1].tobytes()
    for suffix in ("png", "jpg", "bmp", "webp", "tiff", "ppm", "gif")
}


def reads(path: Path, **spec: Any) -> None:
    """Open a source as ingest does, and take every crop and label of it."""
    source = open_source("fuzz", {"path": str(path), **spec})
    for crop in source.read(0, len(source)):
        assert crop.label is None or crop.label.encode() is not None
    list(source.labels(0, len(source)))


def image(data: bytes, folder: Path) -> None:
    decoded = decode_checked(data, 10**6, as_shown=True)
    assert (decoded.pixels is None) == (decoded.facts.reason not in (None, ""))


def a_list(suffix: str) -> Callable[[bytes, Path], None]:
    def parse(data: bytes, folder: Path) -> None:
        (folder / f"labels{suffix}").write_bytes(data)
        reads(folder / f"labels{suffix}")

    return parse


def folder_of_files(data: bytes, folder: Path) -> None:
    (folder / "gt.txt").write_bytes(data)
    reads(folder)


def charset(data: bytes, folder: Path) -> None:
    (folder / "charset.txt").write_bytes(data)
    Charset.named(str(folder / "charset.txt")).indices("abc")


def lexicon(data: bytes, folder: Path) -> None:
    (folder / "words.txt").write_bytes(data)
    allowed = Allowed.of(lexicon=folder / "words.txt")
    assert allowed is not None
    Grammar(allowed, Charset.named("english_36"))


def pattern(data: bytes, folder: Path) -> None:
    allowed = Allowed.of(pattern=data.decode("utf-8", "replace")[:20])
    assert allowed is not None
    Grammar(allowed, Charset.named("english_36"))


def predictions(data: bytes, folder: Path) -> None:
    (folder / "predictions.txt").write_bytes(data)
    read_predictions(folder / "predictions.txt")


def prediction_table(data: bytes, folder: Path) -> None:
    (folder / "predictions.parquet").write_bytes(data)
    read_predictions(folder / "predictions.parquet")


def recipe(data: bytes, folder: Path) -> None:
    (folder / "recipe.json").write_bytes(data)
    saved_recipe(read_json(folder / "recipe.json"), "recipe.json")


def config(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(data)
    (folder / "model.safetensors").write_bytes(b"")
    config = read_config(folder, "encoder", "recognizer", "lmim")
    if config["kind"] == "recognizer":
        Charset(**config["charset"])


def exported(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(data)
    for graph in (READY / "onnx").glob("*.onnx"):
        if not (folder / graph.name).exists():
            (folder / graph.name).symlink_to(graph)
    OnnxReader(folder, threads=1)


def scores(data: bytes, folder: Path) -> None:
    run = folder / "data/06_models/lmim/mini/seed0/recognizer"
    for place in (run / "config.json", folder / "data/08_reporting/lmim/mini/seed0/scores.json"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    about_recognizer(run)


def job(data: bytes, folder: Path) -> None:
    (folder / "job.json").write_bytes(data)
    Job.read(folder / "job.json")


def parameters(data: bytes, folder: Path) -> None:
    (folder / "small").mkdir(exist_ok=True)
    (folder / "small" / "parameters.yml").write_bytes(data)
    base = Path(__file__).parents[2] / "conf/base"
    if not (folder / "base").exists():
        (folder / "base").mkdir()
        for file in base.glob("[!c]*.yml"):
            shutil.copy(file, folder / "base")
    loader = ConfigLoader(folder, "small", **CONFIG_LOADER_ARGS | {"default_run_env": "small"})
    assert loader["parameters"]["env"] == "small"


def archive(data: bytes, folder: Path) -> None:
    (folder / "crops.zip").write_bytes(data)
    reads(folder / "crops.zip")


def shards(data: bytes, folder: Path) -> None:
    (folder / "00000.tar").write_bytes(data)
    reads(folder / "00000.tar")


def parquet(data: bytes, folder: Path) -> None:
    (folder / "crops.parquet").write_bytes(data)
    reads(folder / "crops.parquet")


def lmdb_values(data: bytes, folder: Path) -> None:
    """The number of crops, the label of the first and the image of the second are what is drawn."""
    place = folder / "lmdb"
    shutil.rmtree(place, ignore_errors=True)
    count, label, pixels = data[:3], data[3:40], data[40:]
    with lmdb.open(str(place), map_size=2**20) as env, env.begin(write=True) as txn:
        for key, value in {
            b"num-samples": count or b"2",
            b"image-000000001": IMAGES["png"],
            b"label-000000001": label or b"-",
            b"image-000000002": pixels or b"-",
            b"label-000000002": b"two",
        }.items():
            txn.put(key, value)
    reads(place)


def labels(data: bytes, folder: Path) -> None:
    texts = data.decode("utf-8", "replace").split("\n")
    check_labels(texts, Charset.named("english_94"), 24, None)
    for metric in METRICS:
        score(texts, texts[::-1], metric)


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("a.png", IMAGES["png"])
        zipped.writestr("gt.txt", "a.png\tdoor\n")
    return file.getvalue()


def _parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pd.DataFrame(columns).to_parquet(file)
    return file.getvalue()


def _tar() -> bytes:
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in (("a.png", IMAGES["png"]), ("a.txt", b"door")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return file.getvalue()


READY_CONFIG = (READY / "recognizer" / "config.json").read_bytes()
EXPORTED = (READY / "onnx" / "config.json").read_bytes()
RECIPE = json.dumps(json.loads((READY / "facts.json").read_text("utf-8")).get("recipe", {})).encode()
JOB = json.dumps(
    {"stage": "fine-tuning", "crops": "absent", "state": "s", "recipe": {}, "training": {}, "views": None}
).encode()
SCORES = (
    b'{"metric": "exact", "accuracy": {"svt": {"exact": 0.5, "n": 4}}, "interval_95": {"svt": [0.2, 0.7]},'
    b' "charset": {"characters": "ab"}}'
)
PARSERS: dict[str, tuple[Callable[[bytes, Path], None], list[bytes]]] = {
    "images": (image, list(IMAGES.values())),
    "txt lists": (a_list(".txt"), [b"a.png\tdoor\nb.png\tkey\n", b'word_1.png, "JOINT"\n', b"a.png,Latin,door\n"]),
    "csv lists": (a_list(".csv"), [b'filename,text\na.png,"say ""hi"""\n', b"a.png,door,0.5\n", b"filename,words\n"]),
    "tsv lists": (a_list(".tsv"), [b"image\tlabel\na.png\tdoor\n", "a.png\té\n".encode("utf-16")]),
    "json lists": (a_list(".json"), [b'{"a.png": "door"}', b'[{"file_name": "a.png", "text": "door"}]']),
    "jsonl lists": (a_list(".jsonl"), [b'{"file_name": "a.png", "text": "door"}\n{"key": "b", "text": null}\n']),
    "folders": (folder_of_files, [b"a.png\tdoor\n", b"a.png door\n"]),
    "charsets": (charset, [b"abc\n", "\ufeffaé漢".encode()]),
    "lexicons": (lexicon, [b"door\nkey\n", b"\xff\xfed\0"]),
    "patterns": (pattern, [b"[A-Z]{2}[0-9]{4}", b"(a|b)*c", b"\\d+(?=x)"]),
    "predictions": (predictions, [b"0 [a] [b]\n", b"prediction,label\na,b\n", b'{"prediction": "a", "label": "b"}\n']),
    "prediction tables": (
        prediction_table,
        [_parquet(benchmark=["x"], key=["1"], label=["a"], prediction=["b"], confidence=[0.5])],
    ),
    "recipes": (recipe, [RECIPE]),
    "configs": (config, [READY_CONFIG]),
    "exported configs": (exported, [EXPORTED]),
    "scores": (scores, [SCORES]),
    "jobs": (job, [JOB]),
    "parameters": (parameters, [b"pretraining: {mask_ratio: 0.7}\nseed: 3\n", b"training: {threads: 2}\n"]),
    "zip archives": (archive, [_zip()]),
    "tar shards": (shards, [_tar()]),
    "parquet": (parquet, [_parquet(image=[IMAGES["png"]], text=["door"])]),
    "lmdb values": (lmdb_values, [b"2\0\0" + b"door".ljust(37) + IMAGES["png"]]),
    "labels": (labels, [b"door\nDOOR\n", "é\u0301\u200b漢\n".encode()]),
}
SLOW = {"parameters": 10, "exported configs": 4, "lmdb values": 2, "prediction tables": 2, "parquet": 2}
"""By how much fewer inputs are drawn, where each takes long."""
JSON_FILES = {"recipes", "configs", "exported configs", "scores", "jobs", "json lists"}
ODD = st.sampled_from(
    [b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b'"', b"\x1b[2J", b"{", b"]" * 2000, b"9" * 5000, b"\n\n"]
)


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of the seeds, cut, overwritten or with something put in, up to three times."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        put = draw(st.binary(max_size=12) | ODD)
        data = draw(
            st.sampled_from(
                [data[:start], data[:start] + put + data[start + length :], data[:start] + put + data[start:]]
            )
        )
    return data


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["lmim", "ctc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def other_values(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A JSON seed with another value at one of its places, or without it."""
    content = json.loads(draw(st.sampled_from(seeds)))
    at, parts = content, []
    while isinstance(at, dict | list) and at and (not parts or draw(st.booleans())):
        part = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        parts.append((at, part))
        at = at[part]
    if not parts:
        return json.dumps(draw(VALUES)).encode()
    holder, part = parts[-1]
    if draw(st.booleans()):
        holder[part] = draw(VALUES)
    else:
        del holder[part]
    return json.dumps(content).encode()


def survives(parse: Callable[[bytes, Path], None], data: bytes, folder: Path) -> None:
    """Check that an input is read, or refused in words."""
    try:
        parse(data, folder)
    except InputError as error:
        assert len(str(error)) > 10


@pytest.mark.parametrize("name", PARSERS)
def test_any_input_is_read_or_refused_in_a_sentence(name, tmp_path_factory, tried):
    parse, seeds = PARSERS[name]
    folder = tmp_path_factory.mktemp("fuzz")
    inputs = st.binary(max_size=200) | damaged(seeds)
    if name in JSON_FILES:
        inputs |= other_values(seeds) | other_values(seeds)

    @settings(max_examples=max(2, settings().max_examples // SLOW.get(name, 1)))
    @given(inputs)
    def holds(data: bytes) -> None:
        tried[name] += 1
        survives(parse, data, folder)

    holds()


@pytest.mark.parametrize("file", sorted(FINDINGS.glob("*/*")), ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_was_found_once_stays_mended(file, tmp_path):
    parse, _ = PARSERS[file.parent.name.replace("_", " ")]
    survives(parse, file.read_bytes(), tmp_path)


@settings(max_examples=max(5, settings().max_examples // 4))
@given(content=st.dictionaries(st.sampled_from(["pretraining", "training", "seed", "variants", "models", "x"]), VALUES))
def test_any_yaml_of_parameters_is_taken_or_refused_in_a_sentence(content, tmp_path_factory, tried):
    tried["parameters"] += 1
    folder = tmp_path_factory.getbasetemp() / "yaml"
    folder.mkdir(exist_ok=True)
    survives(parameters, yaml.safe_dump(content).encode(), folder)


def test_seeds_are_read(tmp_path):
    """Or the damaged ones would say nothing."""
    for name, (parse, seeds) in PARSERS.items():
        if name in ("configs", "exported configs", "scores", "charsets", "parameters", "zip archives", "parquet"):
            (tmp_path / name).mkdir()
            parse(seeds[0], tmp_path / name)
    assert saved_recipe(up_to_date(json.loads(RECIPE)), "r").seed >= 0
