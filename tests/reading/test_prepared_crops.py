"""How crops are prepared belongs to the recognizer: every way to read turns, fits and tempers alike."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from lmim_kedro import open_source, prepare
from lmim_kedro.crops.pixels import decode, decode_batch, fitted, shown_aspect, turned_if_tall
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.crops.validate import decode_checked, stored_bytes
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.weights import load_recognizer, save_model
from lmim_kedro.params import IngestParams, ModelParams
from lmim_kedro.reading import web
from lmim_kedro.reading.about import about_recognizer
from lmim_kedro.reading.export_onnx import export_recognizer
from lmim_kedro.reading.onnx_reader import OnnxReader
from lmim_kedro.reading.reader import Reader, read_sources, read_store
from lmim_kedro.text.charset import Charset

Read = Callable[[Path], list[tuple[str, float]]]
WORDS = 5


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recognizer that turns tall crops, keeps their ratio and has a temperature; and its export."""
    torch.manual_seed(0)
    size = ModelParams(
        patch_height=32, input="gray", position_grid="layout", width=16, depth=1, heads=2, keep_ratio=True
    )
    recognizer = Recognizer(size, Charset.named("english_36"), "ctc", max_length=9).eval()
    torch.nn.init.normal_(recognizer.classifier.weight, std=2.0)
    recognizer.rotate_tall, recognizer.temperature = 1.2, 3.0
    folder = tmp_path_factory.mktemp("made")
    save_model(folder / "model", recognizer)
    export_recognizer(recognizer, folder / "onnx")
    return folder / "model", folder / "onnx"


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    found = [decode(crop.data) for crop in RenderedWords(12, 4, "heldout").read(0, 12) if crop.data]
    wide = [image for image in found if image.shape[1] > 1.2 * image.shape[0]][:WORDS]
    assert len(wide) == WORDS
    return wide


def ways(made: tuple[Path, Path], folder: Path) -> dict[str, list[tuple[str, float]]]:
    """What each way to read finds in the images of a folder: texts and confidences."""
    model, onnx = made
    recognizer = load_recognizer(model)
    files = sorted(folder.glob("*.*"))
    source = open_source("crops", {"path": str(folder), "format": "folder"})
    store = prepare([source], IngestParams(workers=1), folder / "store", need_labels=False)
    table = read_store(recognizer, store, 2, torch.device("cpu"))
    client = TestClient(web.create_app(OnnxReader(onnx, threads=1), about_recognizer(None)), "http://localhost")
    answers = [client.post("/read", content=file.read_bytes()).json() for file in files]
    done = subprocess.run([sys.executable, str(onnx / "read.py"), *map(str, files)], capture_output=True, text=True)
    script = [line.split("\t")[1:] for line in done.stdout.splitlines()]
    return {
        "Reader": [(each.text, each.confidence) for each in Reader.load(model, "cpu").read(files)],
        "OnnxReader": [(each.text, each.confidence) for each in OnnxReader(onnx, threads=1).read(files)],
        "predict": [(each.text, each.confidence) for each in read_sources(recognizer, [source], 2)],
        "evaluate": list(zip(table["prediction"], table["confidence"], strict=True)),
        "serve": [(answer["text"], answer["confidence"]) for answer in answers],
        "script": [(text, float(confidence)) for text, confidence in script],
    }


def write(folder: Path, images: list[np.ndarray]) -> Path:
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def test_tall_crops_are_turned_wherever_they_are_read(
    made: tuple[Path, Path], pictures: list[np.ndarray], tmp_path: Path
) -> None:
    recognizer = load_recognizer(made[0])
    reader = Reader(recognizer)
    wanted = [(each.text, each.confidence) for each in reader.read(pictures)]
    assert len({text for text, _ in wanted}) > 1
    tall = [np.ascontiguousarray(np.rot90(image, -1)) for image in pictures]
    reader.rotate_tall = None
    assert [each.text for each in reader.read(tall)] != [text for text, _ in wanted]
    for way, found in ways(made, write(tmp_path / "tall", tall)).items():
        assert [text for text, _ in found] == [text for text, _ in wanted], way
        assert [sure for _, sure in found] == pytest.approx([sure for _, sure in wanted], abs=2e-4), way


def test_photos_are_read_upright_but_for_stores(
    made: tuple[Path, Path], pictures: list[np.ndarray], tmp_path: Path
) -> None:
    wanted = [each.text for each in Reader.load(made[0], "cpu").read(pictures)]
    exif = Image.Exif()
    exif[0x0112] = 3  # as the camera was held upside down
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(pictures):
        Image.fromarray(np.rot90(image, 2)).save(tmp_path / "photos" / f"{number}.png", exif=exif)
    found = ways(made, tmp_path / "photos")
    assert [text for text, _ in found.pop("evaluate")] != wanted  # the field's convention (docs/data.md)
    for way, readings in found.items():
        assert [text for text, _ in readings] == wanted, way


def test_what_is_turned_when_it_is_read_is_what_ingest_would_have_stored(pictures: list[np.ndarray]) -> None:
    tall = np.ascontiguousarray(np.rot90(pictures[0], -1))
    data = cv2.imencode(".png", tall[..., ::-1])[1].tobytes()
    stored = stored_bytes(data, decode_checked(data, 10**6), None, turn=True)
    assert np.array_equal(decode(stored), turned_if_tall(tall, 1.2))
    here, there = decode_batch([data], 32, 128, rotate_tall=1.2), decode_batch([stored], 32, 128, rotate_tall=1.2)
    assert np.array_equal(here[0], there[0]) and here[1] == there[1]
    assert np.array_equal(turned_if_tall(pictures[0], 1.2), pictures[0])


def test_a_crop_keeps_its_ratio_and_its_last_column_fills_what_is_missing() -> None:
    crop = np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3)
    made = fitted(crop, 32, 128, keep_ratio=True)
    assert made.shape == (32, 128, 3) and np.array_equal(made[:, :48], fitted(crop, 32, 48))
    assert (made[:, 48:] == made[:, 47:48]).all()
    wide = np.zeros((10, 300, 3), np.uint8)
    assert fitted(wide, 32, 128, keep_ratio=True).shape == (32, 128, 3)  # wider than the canvas: squeezed
    assert shown_aspect(np.array([1.5, 30.0], np.float32), 32, 128, True).tolist() == [4.0, 30.0]


def test_the_config_says_how_crops_are_prepared(made: tuple[Path, Path]) -> None:
    model, onnx = (json.loads((folder / "config.json").read_text("utf-8")) for folder in made)
    assert (model["rotate_tall"], model["temperature"], model["model"]["keep_ratio"]) == (1.2, 3.0, True)
    assert (onnx["image"]["rotate_tall"], onnx["image"]["aspect"]) == (1.2, "kept")


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("decoder", ["ctc", "autoregressive"])
def test_a_temperature_changes_confidences_and_not_greedy_texts(
    decoder: str, beam: int, columns_size: ModelParams
) -> None:
    torch.manual_seed(1)
    recognizer = Recognizer(columns_size, Charset("abcd"), decoder, max_length=6).eval()
    images = torch.rand(4, 3, 32, 128) * 2 - 1
    before = recognizer.read_batch(images, beam)
    recognizer.temperature = 0.5
    after = recognizer.read_batch(images, beam)
    if beam == 1:
        assert [each.text for each in after] == [each.text for each in before]
    assert all(one.confidence < other.confidence for one, other in zip(before, after, strict=True))
