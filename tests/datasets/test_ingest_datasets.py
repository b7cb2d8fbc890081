"""Raw crops, packed stores and manifests as Kedro's catalog sees them."""

import base64
import inspect
import io

import cv2
import numpy as np
import pytest
from kedro.io import DatasetError
from PIL import Image

from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.store.manifest import manifest_tables
from lmim_kedro.datasets.crop_sources import CropSources
from lmim_kedro.datasets.manifest import ManifestDataset
from lmim_kedro.datasets.packed_store import PackedStoreDataset
from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams


@pytest.fixture
def words(tmp_path):
    """A catalog entry of three labeled crops, one of them missing."""
    for number in (1, 2):
        image = np.full((10, 30, 3), 100 * number, np.uint8)
        (tmp_path / f"{number}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
    (tmp_path / "gt.txt").write_text("1.png\tone\n2.png\ttwo\n3.png\tthree\n")
    return CropSources(sources={"words": {"path": str(tmp_path)}})


@pytest.fixture
def store(words, tmp_path):
    place = tmp_path / "primary" / "crops"
    dataset = PackedStoreDataset(filepath=str(place))
    dataset.save(prepare(words.load(), IngestParams(workers=1), place, need_labels=True))
    return dataset


def test_sources_are_opened_under_their_names_in_order(words, tmp_path):
    spec = {"b": {"path": str(tmp_path)}, "a": {"path": str(tmp_path), "use_labels": False}}
    sources = CropSources(sources=spec).load()
    assert [(source.name, source.labeled, len(source)) for source in sources] == [("b", True, 3), ("a", False, 3)]


def test_faults_are_the_paths_that_lead_nowhere(tmp_path):
    (tmp_path / "1.png").write_bytes(b"")
    spec = {"a": {"path": "nowhere"}, "b": {"path": str(tmp_path)}, "c": {"format": "rendered", "words": 3}}
    (fault,) = CropSources(sources=spec).faults().values()
    assert fault.startswith("source a: there is nothing at nowhere")


def test_every_source_that_fails_is_named(words, tmp_path):
    spec = {"a": {"path": "nowhere"}, "words": {"path": str(tmp_path)}, "b": {"format": "zip"}}
    with pytest.raises(
        DatasetError, match=r"(?s)^source a: there is nothing at nowhere.*\nsource b: format 'zip'"
    ) as raised:
        CropSources(sources=spec).load()
    assert isinstance(raised.value.__cause__, InputError)
    assert str(raised.value.__cause__).count("source ") == 2


def test_environment_without_sources_says_where_to_name_them():
    with pytest.raises(DatasetError, match="list them under `sources` in conf/<env>/catalog_ingest.yml"):
        CropSources().load()


def test_store_that_was_saved_is_the_one_that_loading_opens(store):
    loaded = store.load()
    assert store.exists()
    assert loaded.labels([0, 1]) == ["one", "two"]


def test_what_ingest_has_not_made_yet_says_which_command_makes_it(tmp_path):
    for dataset in (
        PackedStoreDataset(filepath=str(tmp_path / "crops")),
        ManifestDataset(filepath=str(tmp_path / "m.parquet")),
    ):
        assert not dataset.exists()
        with pytest.raises(DatasetError, match="kedro run --pipelines=ingest"):
            dataset.load()


def test_store_that_was_made_elsewhere_is_not_taken(store, tmp_path):
    elsewhere = PackedStoreDataset(filepath=str(tmp_path / "elsewhere"))
    with pytest.raises(DatasetError, match="has written .*primary/crops, but the catalog says .*elsewhere"):
        elsewhere.save(store.load())


def test_manifest_comes_back_as_a_frame_with_a_row_per_listed_crop(store, tmp_path):
    dataset = ManifestDataset(filepath=str(tmp_path / "primary" / "manifest.parquet"))
    dataset.save(manifest_tables(store.load()))
    frame = dataset.load()
    assert frame["label"].tolist() == ["one", "two", "three"]
    assert frame["reason"].fillna("").tolist() == ["", "", "missing file"]
    preview = dataset.preview(nrows=2)
    assert preview["columns"] == frame.columns.tolist()
    assert [row[preview["columns"].index("key")] for row in preview["data"]] == ["1.png", "2.png"]


def test_preview_of_a_store_is_a_contact_sheet_with_its_crops(store):
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(store.preview()))))
    for shade in (100, 200):
        assert (sheet == shade).all(axis=2).sum() > 1000


def test_preview_of_sources_lists_them_without_opening_any():
    preview = CropSources(sources={"a": {"path": "nowhere"}, "b": {"format": "rendered", "words": 5}}).preview()
    assert preview["columns"] == ["source", "format", "path", "words"]
    assert preview["data"] == [["a", "", "nowhere", ""], ["b", "rendered", "", "5"]]


@pytest.mark.parametrize(
    ("kind", "preview"),
    [(CropSources, "TablePreview"), (PackedStoreDataset, "ImagePreview"), (ManifestDataset, "TablePreview")],
)
def test_previews_are_of_kinds_that_kedro_viz_shows(kind, preview):
    annotation = inspect.signature(kind.preview).return_annotation
    assert getattr(annotation, "__name__", annotation) == preview  # as Kedro-Viz looks it up
