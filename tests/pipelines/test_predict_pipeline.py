"""Pipeline, Python and shell read the same folder the same way."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog, DatasetError, MemoryDataset
from kedro.runner import SequentialRunner

from lmim_kedro.cli import cli
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.datasets.crop_sources import CropSources
from lmim_kedro.datasets.models import ModelDataset
from lmim_kedro.datasets.path import PathDataset
from lmim_kedro.datasets.readings import ReadingsDataset
from lmim_kedro.errors import InputError
from lmim_kedro.hooks import require_named_files
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.weights import save_model
from lmim_kedro.params import IngestParams, ModelParams, PredictParams, RecognizerParams, TrainingParams
from lmim_kedro.pipelines.predict import create_pipeline
from lmim_kedro.reading.files import COLUMNS
from lmim_kedro.reading.reader import Reader
from lmim_kedro.text.allowed import Allowed
from lmim_kedro.text.charset import Charset

SIZE = ModelParams(
    patch_height=32,
    input="gray",
    position_grid="layout",
    width=16,
    depth=1,
    heads=2,
    recognizer=RecognizerParams(width=32, depth=1, heads=4, ffn=16),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered words, one of them in a subfolder, and a text file that says it is an image."""
    folder = tmp_path_factory.mktemp("crops")
    (folder / "more").mkdir()
    for number in range(7):
        place = folder / ("more" if number == 6 else ".") / f"word {number}.jpg"
        place.write_bytes(RenderedWords(9).render(number)[1])
    (folder / "bad.jpg").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    recognizer = Recognizer(SIZE, Charset.named("english_36"), max_length=9)
    for weight in (recognizer.decoder.classifier.weight, recognizer.linear_norm[0].weight):
        torch.nn.init.normal_(weight, std=1.0)
    path = tmp_path_factory.mktemp("model")
    save_model(path, recognizer)
    return path


def predict(
    model: Path, source: Path, target: Path, format: Any, ingest: IngestParams | None = None, **how: Any
) -> pd.DataFrame:
    options: dict[str, Any] = {
        "layout": None,
        "allow_outside": False,
        "looks": None,
        "language": None,
        "charset": None,
        "lexicon": None,
        "pattern": None,
        "min_confidence": 0.0,
    }
    catalog = DataCatalog(
        {
            "predict.recognizer": ModelDataset(filepath=str(model), kind="recognizer"),
            "predict.sources": CropSources(sources={"crops": {"path": str(source)}}),
            "predict.readings_file": PathDataset(filepath=str(target)),
            "predict.readings": ReadingsDataset(filepath=str(target), format=format),
            "params:predict": MemoryDataset(
                PredictParams(source=None, recognizer=None, format=format, batch_size=3, beam=1, **options | how)
            ),
            "params:training": MemoryDataset(TrainingParams(device="cpu", threads=1)),
            "params:ingest": MemoryDataset(ingest or IngestParams()),
        }
    )
    SequentialRunner().run(create_pipeline(), catalog)
    return catalog.load("predict.readings")


def shell(arguments: list[str]) -> Any:
    return CliRunner().invoke(cli, ["read", *arguments])


def test_three_ways_read_the_same(folder: Path, model: Path, tmp_path: Path) -> None:
    table = predict(model, folder, tmp_path / "deep" / "readings.csv", "csv")
    readings = Reader.load(model).read(folder)
    done = shell(["--recognizer", str(model), "--format", "csv", str(folder)])
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert table["key"].tolist() == [reading.key for reading in readings]
    assert [row["key"] for row in rows] == [str(folder / key) for key in table["key"]]
    assert table["text"].tolist() == [reading.text for reading in readings] == [row["text"] for row in rows]
    assert len(set(table["text"])) > 3
    for line, reading, row in zip(table.itertuples(), readings, rows, strict=True):
        assert line.confidence == pytest.approx(reading.confidence, abs=1e-3)
        assert float(row["confidence"]) == pytest.approx(reading.confidence, abs=1e-3)
        assert line.confidences == pytest.approx(list(reading.confidences), abs=1e-3)
        assert (line.error or None) == reading.error == (row["error"] or None)
    assert table.set_index("key")["error"]["bad.jpg"] == "undecodable"
    assert (done.exit_code, done.stderr.splitlines()[1:]) == (1, [f"{folder / 'bad.jpg'}: undecodable"])


def test_a_larger_image_than_max_pixels_of_ingest_is_an_error(folder: Path, model: Path, tmp_path: Path) -> None:
    table = predict(model, folder, tmp_path / "r.csv", "csv", IngestParams(max_pixels=100))
    good = table[table["key"] != "bad.jpg"]
    assert len(good) > 3 and good["error"].str.match(r"too large: \d+ x \d+ pixels, max_pixels = 100").all()


def test_every_format_holds_the_same(folder: Path, model: Path, tmp_path: Path) -> None:
    csv_table = predict(model, folder, tmp_path / "r.csv", "csv")
    for format in ("jsonl", "parquet"):
        table = predict(model, folder, tmp_path / f"r.{format}", format)
        assert table[["key", "text"]].equals(csv_table[["key", "text"]])
        assert table["confidence"].tolist() == csv_table["confidence"].tolist()
        assert [list(value) for value in table["confidences"]] == csv_table["confidences"].tolist()
        assert table["error"].fillna("").tolist() == csv_table["error"].tolist()


def test_readings_that_were_written_elsewhere_are_not_taken(tmp_path: Path) -> None:
    dataset = ReadingsDataset(filepath=str(tmp_path / "r.csv"), format="csv")
    with pytest.raises(DatasetError, match="has written .*other.csv, but the catalog says .*r.csv"):
        dataset.save(tmp_path / "other.csv")


def test_an_lmdb_is_read_by_its_keys(model: Path, folder: Path, tmp_path: Path) -> None:
    import lmdb

    crops = [file.read_bytes() for file in sorted(folder.glob("word*.jpg"))]
    with lmdb.open(str(tmp_path / "lmdb"), map_size=1 << 24) as environment, environment.begin(write=True) as txn:
        txn.put(b"num-samples", str(len(crops)).encode())
        for number, crop in enumerate(crops, 1):
            txn.put(f"image-{number:09d}".encode(), crop)
    table = predict(model, tmp_path / "lmdb", tmp_path / "r.csv", "csv")
    assert table["key"].tolist() == [f"image-{number:09d}" for number in range(1, len(crops) + 1)]
    assert table["text"].tolist() == predict(model, folder, tmp_path / "f.csv", "csv")["text"].tolist()[1:7]


def test_an_empty_folder_is_a_sentence(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="holds no crop"):
        predict(model, tmp_path / "empty", tmp_path / "r.csv", "csv")
    done = shell(["--recognizer", str(model), str(tmp_path / "empty")])
    assert done.exit_code == 2 and "holds no crop" in done.stderr


def test_the_shell_prints_path_word_and_confidence(folder: Path, model: Path) -> None:
    first, second = sorted(folder.glob("word*.jpg"))[:2]
    done = shell(["--recognizer", str(model), str(second), str(first)])
    assert done.exit_code == 0
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == [str(second), str(first)]
    assert [line[1] for line in lines] == [reading.text for reading in Reader.load(model).read([second, first])]
    assert all(0 <= float(line[2]) <= 1 for line in lines)


def test_pipeline_python_and_shell_read_allowed_texts_alike(folder: Path, model: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("Exit\nopen\n24h\nsale\nhotel\n")
    given = {"lexicon": str(words), "pattern": "[a-z]+"}
    table = predict(model, folder, tmp_path / "r.csv", "csv", **given)
    readings = Reader.load(model, "cpu").read(folder, allowed=Allowed.of(**given))
    done = shell(["--recognizer", str(model), "--format", "csv", f"--lexicon={words}", "--pattern=[a-z]+", str(folder)])
    texts = [reading.text for reading in readings]
    assert table["text"].tolist() == texts == [row["text"] for row in csv.DictReader(io.StringIO(done.stdout))]
    assert set(texts) <= {"exit", "open", "sale", "hotel", ""} and texts.count("") == 1  # the bad image's


def test_a_reading_of_little_confidence_is_an_error_that_says_what_was_read(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    readings = {reading.key: reading for reading in Reader.load(model, "cpu").read(folder)}
    bound = sorted(reading.confidence for reading in readings.values() if not reading.error)[3]
    table = predict(model, folder, tmp_path / "r.csv", "csv", min_confidence=bound).set_index("key")
    for key, reading in readings.items():
        if reading.error is None:
            sure = reading.confidence >= bound
            assert table["text"][key] == (reading.text if sure else "")
            assert sure or table["error"][key].startswith(f"not sure enough: {reading.text!r} with a confidence of 0.")
    done = shell(["--recognizer", str(model), "--min-confidence=1", str(next(folder.glob("word*.jpg")))])
    assert done.exit_code == 1 and "not sure enough" in done.stderr and not done.stdout


def test_what_the_shell_prints_for_a_list_names_its_files(folder: Path, model: Path, tmp_path: Path) -> None:
    listed = folder.parent / f"{folder.name}.txt"
    listed.write_text(f"{folder.name}/word 0.jpg\tword\n{folder.name}/more/word 6.jpg\tword\n")
    done = shell(["--recognizer", str(model), str(listed)])
    listed.unlink()
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [
        str(folder / "word 0.jpg"),
        str(folder / "more" / "word 6.jpg"),
    ]


@pytest.mark.parametrize("format", ["text", "csv", "jsonl"])
def test_a_file_whose_name_is_not_utf_8_is_read(format: str, folder: Path, model: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / name).write_bytes((folder / "word 0.jpg").read_bytes())
    done = shell(["--recognizer", str(model), "--format", format, str(tmp_path / name)])
    assert done.exit_code == 0, done.output
    assert r"caf\xe9.jpg" in done.stdout.replace("\\\\", "\\")


def test_json_lines_of_the_shell_can_be_parsed(folder: Path, model: Path) -> None:
    done = shell(["--recognizer", str(model), "--format", "jsonl", str(folder)])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 8 and all(list(row) == list(COLUMNS) for row in rows)
    assert COLUMNS == ("key", "text", "confidence", "confidence_mean", "confidence_min", "confidences", "error")
    for row in rows:
        if row["confidences"]:
            assert row["confidence_mean"] == pytest.approx(sum(row["confidences"]) / len(row["confidences"]), abs=1e-3)
            assert row["confidence_min"] == min(row["confidences"]) >= row["confidence"] - 1e-4


def test_what_predict_needs_is_asked_for_before_anything_runs(
    project: Path, folder: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bootstrap_project(project)

    def asked(**predict: Any) -> None:
        given = {"predict": predict, "variant": "scratch", "seed": 987}
        with KedroSession.create(project, runtime_params=given, save_on_close=False) as session:
            require_named_files({"read_crops"}, session.load_context().catalog)

    with pytest.raises(InputError, match=r"`predict.source` is null: name the folder.*--params=predict.source=FOLDER"):
        asked()
    with pytest.raises(InputError, match="`predict.source`: there is nothing at"):
        asked(source=str(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"no recognizer at .*scratch/sample/seed987/recognizer: make it with"):
        asked(source=str(folder))
    with pytest.raises(InputError, match=r"no recognizer at .*absent: check the path in `predict.recognizer`"):
        asked(source=str(folder), recognizer=str(tmp_path / "absent"))
    asked(source=str(folder), recognizer=str(model))
    with pytest.raises(InputError, match=r"`predict.layout`: format 'cvs' is unknown \(did you mean `csv`\?\)"):
        asked(source=str(folder), recognizer=str(model), layout="cvs")


def test_a_word_longer_than_the_decoder_can_write_is_refused_before_anything_runs(project: Path) -> None:
    bootstrap_project(project)
    given: dict[str, Any] = {"finetuning": {"decoder": "autoregressive", "max_length": 201}}
    with KedroSession.create(project, runtime_params=given, save_on_close=False) as session:
        catalog = session.load_context().catalog
    require_named_files({"pretrain"}, catalog)
    with pytest.raises(InputError, match="max_length is 201, but the decoder"):
        require_named_files({"pretrain", "finetune"}, catalog)


def test_the_run_says_how_many_crops_were_read(
    folder: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "lmim_kedro")
    predict(model, folder, tmp_path / "r.csv", "csv")
    assert "8 crops read, 1 of them with an error" in caplog.messages


def test_a_recognizer_of_another_charset_is_refused_before_it_is_evaluated(
    project: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap_project(project)
    for charset, refused in (("english_36", False), ("english_94", True), ("from_labels", False)):
        given = {"finetuning": {"charset": charset}}
        with KedroSession.create(project, runtime_params=given, save_on_close=False) as session:
            catalog = session.load_context().catalog
        catalog["recognizer"] = ModelDataset(filepath=str(model), kind="recognizer")
        if refused:
            with pytest.raises(InputError, match="another charset .*36 characters here, 94 there; only there"):
                require_named_files({"read_benchmarks"}, catalog)
        else:
            require_named_files({"read_benchmarks"}, catalog)
