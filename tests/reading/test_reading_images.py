"""Reading images wherever they come from; a bad one never loses the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.crops.sources.stream import stream
from lmim_kedro.errors import InputError
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.weights import save_model
from lmim_kedro.reading.looks import with_margin
from lmim_kedro.reading.reader import Reader
from lmim_kedro.text.charset import Charset


@pytest.fixture
def reader(columns_size) -> Reader:
    """Random weights, so large that crops read differently."""
    recognizer = Recognizer(columns_size, Charset.named("english_36"), max_length=9).eval()
    for weight in (recognizer.decoder.classifier.weight, recognizer.linear_norm[0].weight):
        torch.nn.init.normal_(weight, std=1.0)
    return Reader(recognizer)


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Six rendered words as PNG files, so that pixels survive."""
    folder = tmp_path / "words"
    folder.mkdir()
    for number in range(6):
        pixels = cv2.imdecode(np.frombuffer(RenderedWords(9).render(number)[1], np.uint8), cv2.IMREAD_COLOR)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    return sorted(folder.iterdir())


def texts(readings) -> list[str]:
    assert all(reading.error is None for reading in readings)
    return [reading.text for reading in readings]


def test_three_lines_read_a_folder(reader, files):
    save_model(files[0].parents[1] / "model", reader.recognizer)
    again = Reader.load(files[0].parents[1] / "model")
    readings = again.read(files[0].parent)
    assert [reading.key for reading in readings] == [file.name for file in files]
    assert texts(readings) == texts(reader.read(files))
    assert len(set(texts(readings))) > 2
    for reading in readings:
        assert len(reading.confidences) == len(reading.text)
        assert 0 <= reading.confidence <= min((*reading.confidences, 1)) + 1e-6


def test_paths_pil_images_and_arrays_read_alike_and_keep_their_order(reader, files):
    opened = [Image.open(file) for file in files]
    mixed = [str(files[0]), opened[1], np.asarray(opened[2]), files[3], opened[4].convert("RGBA"), opened[5]]
    assert texts(reader.read(mixed, batch_size=4)) == texts(reader.read(files, batch_size=1))
    assert texts(reader.read(opened[2])) == texts(reader.read([files[2]]))
    assert texts(reader.read(files[2])) == texts(reader.read(files))[2:3]
    assert texts(reader.read(image for image in mixed)) == texts(reader.read(files))


def test_gray_images_read_as_their_three_equal_channels(reader, files):
    gray = [Image.open(file).convert("L") for file in files]
    three = texts(reader.read([image.convert("RGB") for image in gray]))
    assert texts(reader.read([np.asarray(image) for image in gray])) == three
    assert texts(reader.read([np.asarray(image)[:, :, None] for image in gray])) == three
    assert texts(reader.read(gray)) == three
    sixteen = [Image.fromarray(np.asarray(image).astype(np.uint16) * 257) for image in gray]
    assert texts(reader.read(sixteen)) == three


def test_what_cannot_be_read_has_an_error_and_the_others_are_read(reader, files, tmp_path):
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "half.png").write_bytes(files[0].read_bytes()[:300])
    Image.new("RGB", (1, 1)).save(tmp_path / "pixel.png")
    closed = Image.open(files[0])
    closed.close()
    bad = [
        tmp_path / "text.jpg",
        tmp_path / "empty.jpg",
        tmp_path / "half.png",
        tmp_path / "pixel.png",
        tmp_path / "absent.png",
        tmp_path,
        np.zeros((8, 8), np.float32),
        np.zeros((0, 8, 3), np.uint8),
        Image.new("F", (9, 9)),
        closed,
        7,
    ]
    readings = reader.read([*bad, *files], batch_size=4)
    assert texts(readings[len(bad) :]) == texts(reader.read(files))
    errors = [reading.error or "" for reading in readings[: len(bad)]]
    for error, words in zip(
        errors,
        (
            "undecodable",
            "empty: 0 bytes",
            "truncated",
            "too small: 1 x 1 pixels",
            "missing file",
            "unreadable file",
            "an array of float32 and shape (8, 8)",
            "shape (0, 8, 3)",
            "unsupported mode: F",
            "undecodable: Operation on closed image",
            "int is no image",
        ),
        strict=True,
    ):
        assert words in error
    assert all(reading.text == "" and reading.confidence == 0 for reading in readings[: len(bad)])


def test_only_bad_images_and_no_images_are_no_exception(reader, tmp_path):
    assert [reading.error for reading in reader.read([tmp_path / "absent.png"])] == ["missing file"]
    assert reader.read([]) == []


def test_an_empty_folder_is_a_sentence(reader, tmp_path):
    (tmp_path / "notes.md").write_text("no image")
    with pytest.raises(InputError, match="holds no crop: image files or a list of them were expected"):
        reader.read(tmp_path)


def test_a_beam_reads_at_least_as_probable_words(reader, files):
    greedy, wide = reader.read(files), reader.read(files, beam=6)
    assert sum(reading.confidence for reading in wide) >= sum(reading.confidence for reading in greedy)
    assert [reading.key for reading in wide] == [str(file) for file in files]


def test_a_ctc_recognizer_reads_images_greedily_and_with_a_beam(columns_size, files):
    reader = Reader(Recognizer(columns_size, Charset.named("english_36"), "ctc"))
    torch.nn.init.normal_(reader.recognizer.classifier.weight, std=0.5)
    for beam in (1, 4):
        assert all(len(reading.confidences) == len(reading.text) for reading in reader.read(files, beam=beam))
    assert sum(r.confidence for r in reader.read(files, beam=4)) >= sum(r.confidence for r in reader.read(files))


def test_transparent_parts_show_white(reader, files):
    picture = Image.open(files[0]).convert("RGBA")
    clear = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    white = Image.new("RGB", picture.size, "white")
    one, other, array = reader.read([clear, white, np.asarray(clear)])
    assert one.text == other.text == array.text
    assert one.confidences == pytest.approx(other.confidences, rel=1e-3)
    assert array.confidences == pytest.approx(other.confidences, rel=1e-3)


def test_reading_stops_its_threads_when_it_is_left_early(reader, files):
    import threading

    before = threading.active_count()
    readings = reader.read_crops(files * 5, batch_size=2)
    next(readings)
    readings.close()
    assert threading.active_count() == before


def test_importing_the_recognizer_needs_no_kedro():
    heavy = "{'kedro', 'pandas', 'matplotlib'}"
    code = f"import sys, lmim_kedro.models.recognizer; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_reader_computes_in_its_precision(reader, files, precision):
    computed = []
    reader.recognizer.linear_norm[0].register_forward_hook(lambda _module, _given, made: computed.append(made.dtype))
    readings = Reader(reader.recognizer, precision).read(files)
    assert computed == [precision] and all(reading.text for reading in readings)


def test_three_looks_keep_the_surest_reading(reader, files):
    once = reader.read(files)
    assert reader.read(files, looks=1) == once
    thrice = reader.read(files, looks=3)
    assert [reading.key for reading in thrice] == [reading.key for reading in once]
    pixels = np.stack([batch.images[0] for batch in stream([(None, file) for file in files], 32, 128, 1)])
    margins = [reader.read_batch(with_margin(pixels, margin)) for margin in (0.0, 0.06, -0.035)]
    expected = [max(each, key=lambda reading: reading.confidence) for each in zip(*margins, strict=True)]
    assert texts(thrice) == texts(expected)
    assert any(a.confidence > b.confidence for a, b in zip(thrice, once, strict=True))


def test_margin_moves_the_crop_inwards_and_a_negative_one_outwards():
    crop = np.zeros((1, 3, 32, 128), np.uint8)
    crop[:, :, 8:24, 32:96] = 240  # a bright box in the middle
    areas = [int((with_margin(crop, margin) > 120).sum()) // 3 for margin in (-0.1, 0.0, 0.1)]
    assert areas == pytest.approx([16 * 64 / 0.8**2, 16 * 64, 16 * 64 / 1.2**2], rel=0.06)
    mirrored = with_margin(crop[..., ::-1, ::-1], 0.06)
    np.testing.assert_array_equal(mirrored[..., ::-1, ::-1], with_margin(crop, 0.06))  # nothing is shifted


def test_recognizer_that_was_made_for_three_looks_takes_them(reader, files, tmp_path):
    reader.recognizer.looks = 3
    save_model(tmp_path / "model", reader.recognizer)
    again = Reader.load(tmp_path / "model", "cpu")
    assert again.looks == 3
    assert texts(again.read(files)) == texts(reader.read(files, looks=3))
    assert texts(again.read(files, looks=1)) == texts(reader.read(files, looks=1))


def test_another_number_of_looks_is_refused(reader, files):
    with pytest.raises(InputError, match="looks is 2: set it to one of 1, 3"):
        reader.read(files, looks=2)
