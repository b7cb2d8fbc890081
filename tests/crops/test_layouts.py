"""Every data set of the field, as a small replica in the layout that it is shipped in, gives the same three crops."""

import json

import lmdb
import pytest
from tests.crops.replicas import FILES, images, png, put

from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.params import IngestParams

LABELS = ["Café 24", '1,000, "or so"', "老 字 号"]


def in_lmdb(folder):
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=2**30) as env, env.begin(write=True) as txn:
        for number, label in enumerate(LABELS, 1):
            txn.put(b"image-%09d" % number, png(number - 1))
            txn.put(b"label-%09d" % number, label.encode())
        txn.put(b"num-samples", b"3")
    return folder


def mmocr_0(names):
    return "".join(
        json.dumps({"filename": name, "text": label}, ensure_ascii=number == 0) + "\n"
        for number, (name, label) in enumerate(zip(names, LABELS, strict=True))
    )


def mmocr_1(names):
    listed = [{"img_path": name, "instances": [{"text": label}]} for name, label in zip(names, LABELS, strict=True)]
    return json.dumps({"metainfo": {"dataset_type": "TextRecogDataset"}, "data_list": listed})


def six_benchmarks(root):
    return in_lmdb(root / "IC13_1015")


def union14m_l_mmocr_0(root):
    names = [f"art_curve/{name}" for name in FILES]
    images(root / "full_images", names)
    return put(root / "train_annos" / "mmocr-0.x" / "train_hard.jsonl", mmocr_0(names))


def union14m_l_mmocr_1(root):
    names = [f"art_curve/{name}" for name in FILES]
    images(root / "full_images", names)
    return put(root / "train_annos" / "mmocr1.0" / "train_hard.json", mmocr_1(names))


def union14m_l_validation(root):
    images(root / "full_images")
    return put(root / "val_annos.jsonl", "\ufeff" + mmocr_0(FILES).replace("\n", "\r\n"))


def union14m_l_filtered(root):
    return in_lmdb(root / "Union14M-L-LMDB-Filtered" / "filter_train_hard")


def union14m_benchmark_subset(root):
    names = [f"imgs/{name}" for name in FILES]
    images(root / "curve", names)
    put(root / "curve" / "annotation.json", mmocr_1(names))
    put(root / "curve" / "annotation.jsonl", mmocr_0(names))
    return root / "curve"


def union14m_benchmark_subset_of_mmocr_1(root):
    names = [f"imgs/{name}" for name in FILES]
    images(root / "salient", names)
    put(root / "salient" / "annotation.json", mmocr_1(names))
    return root / "salient"


def union14m_benchmark_general(root):
    names = [f"full_images/coco/{name}" for name in FILES]
    images(root / "Union14M-L", names)
    annotation = root / "Union14M-L" / "Union14M-Benchmarks" / "general" / "annotation.jsonl"
    return put(annotation, mmocr_0(names)).parent


def union14m_benchmark_lmdb(root):
    return in_lmdb(root / "lmdb_format" / "multi_words")


def ard(root):
    return in_lmdb(root / "Openimages" / "train_f")


def chinese_benchmark(root):
    return in_lmdb(root / "handwriting_test")


def icdar(root):
    images(root / "ch4_training_word_images_gt")
    quoted = [label.replace('"', '\\"') for label in LABELS]
    lines = [f'{name}, "{label}"' for name, label in zip(FILES, quoted, strict=True)]
    return put(root / "ch4_training_word_images_gt" / "gt.txt", "\ufeff" + "\r\n".join(lines) + "\r\n").parent


def icdar_list_beside_its_images(root):
    images(root / "images")
    lines = [f'{name}, "{label}"' for name, label in zip(FILES, LABELS, strict=True)]
    return put(root / "coords_gt.txt", "\n".join(lines))


def input_of_create_lmdb(root):
    images(root / "crops", [f"train/{name}" for name in FILES])
    lines = [f"train/{name}\t{label}" for name, label in zip(FILES, LABELS, strict=True)]
    return put(root / "crops" / "gt.txt", "\ufeff" + "\r\n".join(lines)).parent


LAYOUTS = {
    "lmdb": [six_benchmarks, union14m_l_filtered, union14m_benchmark_lmdb, ard, chinese_benchmark],
    "jsonl": [
        union14m_l_mmocr_0, union14m_l_validation, union14m_benchmark_subset, union14m_benchmark_general
    ],
    "mmocr": [union14m_l_mmocr_1, union14m_benchmark_subset_of_mmocr_1],
    "icdar": [icdar, icdar_list_beside_its_images],
    "list": [input_of_create_lmdb],
}  # fmt: skip
EACH = [pytest.param(layout, make, id=make.__name__) for layout, makes in LAYOUTS.items() for make in makes]


@pytest.mark.parametrize(("layout", "make"), EACH)
def test_layout_is_detected_and_gives_crops_and_labels_as_they_are(tmp_path, layout, make):
    source = open_source("a", {"path": str(make(tmp_path))})
    assert (source.format, source.labeled, len(source)) == (layout, True, 3)
    found = list(source.read(0, 3))
    assert [(crop.data, crop.label, crop.reason) for crop in found] == [
        (png(number), label, None) for number, label in enumerate(LABELS)
    ]


@pytest.mark.parametrize(("layout", "make"), EACH)
def test_layout_is_ingested_with_and_without_its_labels(tmp_path, layout, make):
    spec = {"path": str(make(tmp_path / "raw")), "format": layout}
    labeled = prepare([open_source("a", spec)], IngestParams(), tmp_path / "labeled", need_labels=True)
    assert labeled.labels(range(3)) == LABELS
    bare = prepare([open_source("a", spec | {"use_labels": False})], IngestParams(), tmp_path / "bare", False)
    assert bare.fetch(range(3)) == labeled.fetch(range(3)) == [png(number) for number in range(3)]
    assert not bare.labeled


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("a.jsonl", [b'{"filename": "one.png", "text": "caf\xe9"}', b'{"filename": "3.png", "text": "ok"}']),
        ("gt.txt", [b'one.png, "caf\xe9"', b'3.png, "ok"']),
        ("gt.txt", [b"one.png\tcaf\xe9", b"3.png\tok"]),
    ],
)
def test_label_in_latin_1_is_a_fault_of_its_crop_in_every_list(tmp_path, name, lines):
    images(tmp_path)
    put(tmp_path / name, b"\n".join(lines))
    found = list(open_source("a", {"path": str(tmp_path / name)}).read(0, 2))
    assert [(crop.data is None, crop.label, crop.reason) for crop in found] == [
        (False, None, "label not UTF-8"),
        (False, "ok", None),
    ]


def test_label_keeps_its_outer_spaces_and_a_further_column_is_never_part_of_it(tmp_path):
    images(tmp_path)
    put(tmp_path / "gt.txt", "one.png\t a b \n3.png\t\nword 2.png\tword\tFrance\n")
    found = list(open_source("a", {"path": str(tmp_path)}).read(0, 3))
    assert [crop.label for crop in found] == [" a b ", "", None]
    assert found[2].reason == "bad line: expected 2 columns, found 3"
