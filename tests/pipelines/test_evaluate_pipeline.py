from __future__ import annotations

from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from PIL import Image

from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.datasets.tables import ParquetTable
from lmim_kedro.files import sha256
from lmim_kedro.models.folder import READY
from lmim_kedro.models.recognizer import Recognizer
from lmim_kedro.models.weights import load_recognizer, save_model
from lmim_kedro.params import EvaluationParams, ModelParams, TrainingParams
from lmim_kedro.pipelines.evaluate.nodes import judge, read_benchmarks
from lmim_kedro.pipelines.report.nodes import analyze
from lmim_kedro.reading.reader import Reader
from lmim_kedro.scoring.compare import pair_up, read_predictions
from lmim_kedro.text.charset import Charset

EVALUATION = EvaluationParams(
    metric="waics",
    labels="original",
    batch_size=4,
    looks=1,
    language="none",
    beside=None,
    attention_crops=4,
    attention_queries=4,
)


class Store:
    """Two benchmarks of rendered words, as a packed store gives them."""

    sources = (SimpleNamespace(name="one", start=0, stop=7), SimpleNamespace(name="other", start=7, stop=12))

    labeled = True

    def __init__(self) -> None:
        self.crops = list(RenderedWords(12, 3, "heldout").read(0, 12))

    def __len__(self) -> int:
        return len(self.crops)

    def fetch(self, indices: range) -> list[bytes | None]:
        return [self.crops[index].data for index in indices]

    def labels(self, indices: range) -> list[str | None]:
        return [self.crops[index].label for index in indices]


MANIFEST = pd.DataFrame(
    {
        "store_index": range(12),
        "key": [crop.key for crop in Store().crops],
        "width": 60,
        "height": 20,
        "status": "ok",
    }
)


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    torch.manual_seed(0)
    sizes = ModelParams(width=24, depth=1, heads=3, patch_height=32, position_grid="layout")
    return Recognizer(sizes, Charset.named("english_94"), "ctc", max_length=9)


@pytest.fixture(scope="module")
def predictions(recognizer: Recognizer) -> pd.DataFrame:
    readings = read_benchmarks(recognizer, Store(), EVALUATION, TrainingParams(device="cpu", threads=1))
    return judge(readings, MANIFEST, EVALUATION)


def test_every_crop_has_what_an_analysis_needs(predictions: pd.DataFrame) -> None:
    assert predictions["benchmark"].tolist() == ["one"] * 7 + ["other"] * 5
    needed = {"key", "label", "prediction", "confidence", "confidences", "waics", "exact", "length", "aspect"}
    assert needed <= set(predictions)
    for row in predictions.itertuples():
        assert len(row.confidences) == len(row.prediction) and 0 <= row.confidence <= 1
    assert all(not table.empty for table in analyze(predictions, EVALUATION))


def test_predictions_keep_whose_they_are_in_parquet(recognizer: Recognizer, tmp_path: Path) -> None:
    save_model(tmp_path / "recognizer", recognizer)
    loaded = load_recognizer(tmp_path / "recognizer")
    readings = read_benchmarks(loaded, Store(), EVALUATION, TrainingParams(device="cpu", threads=1))
    verdicts = judge(readings, MANIFEST, EVALUATION)
    table = ParquetTable(filepath=str(tmp_path / "predictions.parquet"))
    table.save(verdicts)
    assert table.load().attrs["sha256"] == sha256(tmp_path / "recognizer/model.safetensors")


def test_another_recognizer_reads_the_same_crops_beside_it(
    recognizer: Recognizer, predictions: pd.DataFrame, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    other = Recognizer(recognizer.model, Charset.named("english_36"), "ctc", max_length=9)
    torch.nn.init.normal_(other.classifier.weight, std=1.0)
    other.looks = 3  # both look as often as `evaluation.looks` says
    save_model(tmp_path / "other", other)
    beside = EVALUATION.model_copy(update={"beside": str(tmp_path / "other")})
    readings = read_benchmarks(recognizer, Store(), beside, TrainingParams(device="cpu", threads=1))
    images = [Image.open(BytesIO(crop.data)) for crop in Store().crops]
    assert readings["beside"].tolist() == [reading.text for reading in Reader(other).read(images, looks=1)]
    assert readings["prediction"].tolist() == predictions["prediction"].tolist()
    assert readings["beside"].tolist() != readings["prediction"].tolist()


def test_benchmarks_are_read_with_the_language_model_that_is_named() -> None:
    ready = load_recognizer(READY / "recognizer")  # which has one of its own
    store = Store()
    store.sources = (SimpleNamespace(name="one", start=0, stop=40),)  # type: ignore[assignment]
    store.crops = list(RenderedWords(40, 4, "heldout").read(0, 40))
    images = [Image.open(BytesIO(crop.data)) for crop in store.crops]
    found = {}
    for language in ("none", "english"):
        asked = EVALUATION.model_copy(update={"language": language})
        readings = read_benchmarks(ready, store, asked, TrainingParams(device="cpu", threads=1))
        found[language] = readings["prediction"].tolist()
        expected = [reading.text for reading in Reader(ready).read(images, looks=1, language=language)]
        assert found[language] == expected
    assert found["none"] != found["english"]


def test_evaluation_looks_as_often_as_it_is_asked_to(recognizer: Recognizer, predictions: pd.DataFrame) -> None:
    thrice = EVALUATION.model_copy(update={"looks": 3})
    readings = read_benchmarks(recognizer, Store(), thrice, TrainingParams(device="cpu", threads=1))
    assert (readings["confidence"] >= predictions["confidence"]).all()
    assert (readings["confidence"] > predictions["confidence"]).any()


def test_a_benchmark_is_read_as_its_images_are_one_by_one(recognizer: Recognizer, predictions: pd.DataFrame) -> None:
    images = [Image.open(BytesIO(crop.data)) for crop in Store().crops]
    alone = Reader(recognizer).read(images, batch_size=1)
    assert predictions["prediction"].tolist() == [reading.text for reading in alone]
    for found, reading in zip(predictions["confidences"], alone, strict=True):
        assert found == pytest.approx(reading.confidences, rel=1e-3)


def test_predictions_come_back_from_parquet_and_can_be_compared(predictions: pd.DataFrame, tmp_path: Path) -> None:
    predictions.to_parquet(tmp_path / "predictions.parquet")
    again = read_predictions(tmp_path / "predictions.parquet")
    assert [list(each) for each in again["confidences"]] == [list(each) for each in predictions["confidences"]]
    assert len(pair_up(predictions, again)) == 12
