"""What users arrive with: every layout is told by its content, and no label, file or column is lost without a word."""

import io
import json
import pickle
import struct
import tarfile
import zipfile

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.crops.replicas import FILES, images, png, put

from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources import open as open_module
from lmim_kedro.crops.sources.open import detect, open_images, open_source
from lmim_kedro.errors import InputError
from lmim_kedro.params import IngestParams

LABELS = ["Café 24", 'say "hi", now', "老 字 号"]


def read(source):
    return list(source.read(0, len(source)))


def labels(source):
    return [crop.label for crop in read(source)]


def open_at(path, **spec):
    return open_source("a", {"path": str(path), **spec})


def quoted(label):
    return '"' + label.replace('"', '""') + '"'


def csv_with_names(root):
    lines = [f"{name},{quoted(label)},FR" for name, label in zip(FILES, LABELS, strict=True)]
    return put(images(root) / "words.csv", "\ufeffImage,Text,country\r\n" + "\r\n".join(lines)).parent


def csv_without_names(root):
    return put(images(root) / "a.csv", "\n".join(f"{n},{quoted(v)}" for n, v in zip(FILES, LABELS, strict=True))).parent


def csv_with_semicolons(root):
    rows = "\n".join(f"{n};{quoted(v)}" for n, v in zip(FILES, LABELS, strict=True))
    return put(images(root) / "a.csv", "path;label\n" + rows).parent


def csv_in_utf_16(root):
    rows = "\n".join(f"{n};{quoted(v)}" for n, v in zip(FILES, LABELS, strict=True))
    return put(images(root) / "a.csv", ("path;label\n" + rows).encode("utf-16")).parent


def tsv_with_names(root):
    rows = "\n".join(f"x\t{n}\t{quoted(v)}" for n, v in zip(FILES, LABELS, strict=True))
    return put(images(root) / "a.tsv", "source\tfile_name\ttranscription\n" + rows).parent


def list_with_cr_alone(root):
    return put(images(root) / "gt.txt", "\r".join(f"{n}\t{v}" for n, v in zip(FILES, LABELS, strict=True))).parent


def easyocr(root):
    rows = "\n".join(f"{n},{v}" for n, v in zip(FILES, LABELS, strict=True))
    return put(images(root) / "labels.csv", "filename,words\n" + rows).parent


def easyocr_by_pandas(root):
    rows = "\n".join(f"{n},{quoted(v)}" for n, v in zip(FILES, LABELS, strict=True))
    return put(images(root) / "labels.csv", "filename,words\n" + rows).parent


def mlt(root):
    scripts = ["Latin", "Latin", "Chinese"]
    rows = "\n".join(f"{n},{s},{v}" for n, s, v in zip(FILES, scripts, LABELS, strict=True))
    return put(images(root) / "gt.txt", "\ufeff" + rows).parent


def hugging_face_jsonl(root):
    rows = [{"file_name": n, "text": v, "split": "train"} for n, v in zip(FILES, LABELS, strict=True)]
    return put(images(root) / "metadata.jsonl", "\n".join(map(json.dumps, rows))).parent


def hugging_face_csv(root):
    rows = "\n".join(f"{n},{quoted(v)}" for n, v in zip(FILES, LABELS, strict=True))
    return put(images(root) / "metadata.csv", "file_name,text\n" + rows).parent


def doctr(root):
    images(root / "images")
    return put(root / "labels.json", json.dumps(dict(zip(FILES, LABELS, strict=True)))).parent


def json_records(root):
    rows = [{"image": n, "label": v} for n, v in zip(FILES, LABELS, strict=True)]
    return put(images(root) / "all.json", json.dumps(rows, indent=1)).parent


def paddle(root):
    images(root / "crop_img")
    rows = "\n".join(f"crop_img/{n}\t{v}" for n, v in zip(FILES, LABELS, strict=True))
    put(root / "Label.txt", 'photo.png\t[{"transcription": "a", "points": [[0, 0]]}]')
    return put(root / "rec_gt.txt", rows).parent


def icdar_2003(root):
    images(root / "word" / "1")
    tags = [label.replace('"', "&quot;") for label in LABELS]
    rows = "\n".join(f'<image file="word/1/{n}" tag="{v}" />' for n, v in zip(FILES, tags, strict=True))
    return put(root / "word.xml", f'<?xml version="1.0" encoding="utf-8"?>\n<imagelist>{rows}</imagelist>').parent


def pairs_of_tesstrain(root):
    for name, label in zip(images(root) and FILES, LABELS, strict=True):
        put(root / name.replace(".png", ".gt.txt"), label + "\n")
    return root


def pairs_of_calamari(root):
    names = [name.replace(".png", ".bin.png") for name in FILES]
    for name, label in zip(images(root, names) and names, LABELS, strict=True):
        put(root / name.replace(".bin.png", ".gt.txt"), label)
    return root


def pairs_with_txt(root):
    for name, label in zip(images(root / "deep") and FILES, LABELS, strict=True):
        put(root / "deep" / name.replace(".png", ".txt"), "\ufeff" + label + "\r\n")
    return root


def parquet_of_hugging_face(root):
    rows = [{"image": {"bytes": png(n), "path": name}, "text": LABELS[n], "id": n} for n, name in enumerate(FILES)]
    (root / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows[:2]), root / "data" / "train-00000-of-00002.parquet", row_group_size=1)
    pq.write_table(pa.Table.from_pylist(rows[2:]), root / "data" / "train-00001-of-00002.parquet")
    return root


def tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as made:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
    return path


def webdataset(root):
    record = json.dumps({"text": LABELS[1], "n": 1}).encode()
    first = {"000.png": png(0), "000.txt": LABELS[0].encode() + b"\n", "001.json": record, "001.png": png(1)}
    tar(root / "000.tar", first)
    return tar(root / "001.tar", {"./000.jpg": png(2), "./000.gt.txt": LABELS[2].encode(), "./000.json": b"{}"}).parent


def zipped(make):
    def zip_of(root):
        folder = make(root / "words")
        with zipfile.ZipFile(root / "words.zip", "w", zipfile.ZIP_DEFLATED) as made:
            for file in sorted(folder.rglob("*")):
                made.write(file, f"words/{file.relative_to(folder)}")
            made.writestr("__MACOSX/words/._one.png", b"mac")
        return root / "words.zip"

    zip_of.__name__ = f"zip of {make.__name__}"
    return zip_of


MADE = {
    "csv": [csv_with_names, csv_without_names, csv_with_semicolons, csv_in_utf_16, hugging_face_csv],
    "list": [tsv_with_names, list_with_cr_alone, paddle],
    "easyocr": [easyocr, easyocr_by_pandas],
    "mlt": [mlt],
    "jsonl": [hugging_face_jsonl],
    "json": [doctr, json_records],
    "icdar_xml": [icdar_2003],
    "pairs": [pairs_of_tesstrain, pairs_of_calamari, pairs_with_txt],
    "parquet": [parquet_of_hugging_face],
    "webdataset": [webdataset],
}
EACH = [pytest.param(layout, make, id=make.__name__) for layout, makes in MADE.items() for make in makes]
EACH += [
    pytest.param(layout, zipped(make), id=f"zip of {make.__name__}")
    for layout, makes in MADE.items()
    for make in makes[:1]
    if layout not in ("parquet", "webdataset")
]


@pytest.mark.parametrize(("layout", "make"), EACH)
def test_a_layout_is_detected_by_its_content_and_gives_crops_and_labels_as_they_are(tmp_path, layout, make):
    source = open_at(make(tmp_path / "raw"))
    assert (source.format, source.labeled, len(source)) == (layout, True, 3)
    found = {crop.data: (crop.label, crop.reason) for crop in read(source)}
    assert found == {png(number): (label, None) for number, label in enumerate(LABELS)}
    assert sorted(source.labels(0, 3)) == sorted(LABELS)
    parts = [pickle.loads(pickle.dumps(source.only(at, at + 1))).read(at, at + 1) for at in range(3)]
    assert [crop for part in parts for crop in part] == read(source)
    assert (
        open_at(
            tmp_path / "raw" / "words.zip" if "words.zip" in source.description else tmp_path / "raw", format=layout
        ).identity
        == source.identity
    )
    store = prepare([source], IngestParams(workers=1), tmp_path / "packed", need_labels=True)
    assert sorted(store.labels(range(3))) == sorted(LABELS)


def test_labels_in_names_are_read_only_where_the_layout_is_named(tmp_path):
    images(tmp_path, ["my_word_12.jpg", "Café_3.png", "none.png"])
    assert not open_at(tmp_path).labeled
    source = open_at(tmp_path, format="trdg")
    assert [(crop.key, crop.label, crop.reason) for crop in read(source)] == [
        ("Café_3.png", "Café", None),
        ("my_word_12.jpg", "my_word", None),
        ("none.png", None, "no label: expected a name such as word_12.jpg"),
    ]
    images(tmp_path / "mj", ["1/115_Lube_45484.jpg", "1/2_A_B_3.jpg"])
    assert labels(open_at(tmp_path / "mj", format="mjsynth")) == ["Lube", "A_B"]
    with pytest.raises(InputError, match="no image below .* has a name such as 1_word_123.jpg"):
        open_at(images(tmp_path / "plain"), format="mjsynth")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gt.txt", "one.png,ABC123,Argentina\n3.png,DE,Brazil\n"),
        ("gt.txt", "one.png\tABC123\tArgentina\n3.png\tDE\tBrazil\n"),
        ("gt.csv", "one.png;ABC123;1\n3.png;DE;2\n"),
    ],
)
def test_columns_without_names_are_refused_rather_than_put_into_a_label(tmp_path, name, text):
    put(images(tmp_path) / name, text)
    with pytest.raises(InputError, match="has 3 columns without names, and which of them is the label is not known"):
        open_at(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('word 2.png, "ok"\none.png, a, b\n', "bad line: expected 2 columns, found 3"),
        ("word 2.png,ok\n3.png,ok\none.png,a,b\n", "bad line: expected 2 columns, found 3"),
        (
            "filename,text\nword 2.png,ok\none.png,a,b\n",
            "bad line: expected 2 columns, as the first line names, found 3",
        ),
        ("filename,text,more\nword 2.png,ok,1\none.png,a\n", "expected 3 columns, as the first line names, found 2"),
        ('filename,text\nword 2.png,ok\none.png,"a\n', "bad line: expected quotes that are closed and doubled inside"),
        ("filename\ttext\nword 2.png\tok\none.png\ta\tb\n", "expected 2 columns, as the first line names, found 3"),
    ],
)
def test_a_line_with_other_columns_is_a_fault_of_that_line(tmp_path, text, reason):
    put(images(tmp_path) / "gt.csv", text)
    source = open_at(tmp_path / "gt.csv")
    bad = [crop for crop in read(source) if crop.label != "ok"]
    assert len(bad) == 1 and bad[0].data is None and bad[0].label is None and reason in bad[0].reason
    assert "1 with the fault 'bad line'" in source.description


def test_a_quote_that_is_not_closed_costs_its_own_line_alone_and_a_field_may_go_over_lines(tmp_path):
    rows = 'a.png,"open\nb.png,two,\nc.png,three,"a note\nover lines"\n'
    put(images(tmp_path, ["a.png", "b.png", "c.png"]) / "gt.csv", "filename,text,note\n" + rows)
    assert [(crop.key, crop.label) for crop in read(open_at(tmp_path))] == [
        ("line 2", None),
        ("b.png", "two"),
        ("c.png", "three"),
    ]


def test_two_columns_that_may_be_the_label_are_refused(tmp_path):
    put(images(tmp_path) / "a.csv", "filename,text,label\none.png,a,b\n")
    with pytest.raises(InputError, match=r"several columns that may be the label \(text, label\)"):
        open_at(tmp_path)
    put(tmp_path / "a.jsonl", '{"filename": "one.png", "text": "a", "label": "b"}\n{"filename": "3.png", "text": "c"}')
    first, second = read(open_at(tmp_path / "a.jsonl"))
    assert (first.label, first.reason) == (None, "2 labels for one crop: text, label")
    assert (second.label, second.reason) == ("c", None)


def test_a_label_that_is_no_text_is_a_fault(tmp_path):
    put(images(tmp_path) / "labels.json", json.dumps({"one.png": 7, "word 2.png": "ok", "3.png": None}))
    assert [(crop.label, crop.reason) for crop in read(open_at(tmp_path))] == [
        (None, "bad label: 7, and text was expected"),
        ("ok", None),
        (None, "no label"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.json", '{"shapes": [], "imagePath": "one.png"}', "labelme's shapes in a photograph"),
        ("b.json", '{"images": [], "annotations": []}', "COCO's boxes in photographs"),
        ("b.json", '{"one.png": {"polygons": []}}', "docTR's boxes in photographs"),
        ("takeout.json", '{"title": "x"}', "it holds no files with labels"),
        ("broken.json", '{"one.png": ', "it is no JSON that can be read"),
        ("metadata.jsonl", '{"file_name": "one.png", "ground_truth": "x"}', "the fields file_name, ground_truth"),
        ("a.xml", "<tagset><imageName>a</imageName><taggedRectangle/></tagset>", "boxes of words in photographs"),
        ("a.csv", "id,name,plate\n1,one.png,AB\n", "its first line is 'id,name,plate', and a list needs a column"),
        ("gt.txt", "one.png word\n3.png two\n", "without a tab or a comma between file and label"),
        ("Label.txt", 'one.png\t[{"transcription": "a", "points": [[0, 0]]}]', "PaddleOCR's boxes in photographs"),
        ("truth.mat", "MATLAB 5.0", ".mat files, which no layout reads: write a CSV from them"),
    ],
)
def test_a_folder_says_which_file_looks_like_labels_and_why_it_was_not_taken(tmp_path, name, text, why):
    put(images(tmp_path) / name, text)
    source = open_at(tmp_path)
    assert (source.format, source.labeled, len(source)) == ("folder", False, 3)
    assert name in source.passed_over and why in source.passed_over
    assert source.passed_over in source.description


def test_what_lies_beside_a_list_and_is_not_on_it_is_counted_and_named(tmp_path):
    put(images(tmp_path) / "gt.txt", "one.png\ta\n")
    put(tmp_path / "notes.pdf", "x")
    put(tmp_path / "other.csv", "filename,text\n3.png,b\n")
    said = open_at(tmp_path).passed_over
    assert "2 images that gt.txt does not list (3.png, word 2.png)" in said
    assert "1 .pdf files, no images (notes.pdf)" in said
    assert "1 lists of crops beside gt.txt, which is taken (other.csv)" in said
    assert open_at(tmp_path / "gt.txt").passed_over == "", "who names a list has no word on the folder"


def test_a_list_too_long_to_compare_with_its_folder_says_so(tmp_path, monkeypatch):
    put(images(tmp_path) / "gt.txt", "one.png\ta\n3.png\tb\n")
    monkeypatch.setattr(open_module, "_UNLISTED", 1)
    assert "lists of more than 1 crops: other files of the folder are not looked for" in open_at(tmp_path).passed_over


def test_lists_deeper_in_a_folder_are_named(tmp_path):
    for split in ("train", "test"):
        put(images(tmp_path / split) / "metadata.csv", "file_name,text\none.png,a\n")
    source = open_at(tmp_path)
    assert not source.labeled and len(source) == 6
    assert "2 lists of crops in folders below" in source.passed_over and "train/metadata.csv" in source.passed_over


def test_images_of_any_suffix_are_read_and_what_is_passed_over_is_counted(tmp_path):
    bitmap = cv2.imencode(".bmp", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    gray = cv2.imencode(".pgm", np.zeros((8, 8), np.uint8))[1].tobytes()
    jpeg = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50)
    for name, data in {
        **{f"a{suffix}": jpeg for suffix in (".jfif", ".JPE", ".download", "")},
        **{"b.dib": bitmap, "c.pnm": gray, "d.pbm": b"P1\n2 2\n0 1 1 0\n", "e.dat": png(1), "f.heic": heic},
        **{"Thumbs.db": b"x", "._a.png": b"mac", "notes.md": b"x", "more.md": b"x", "g.zip": b"PK", "h.psd": b"8BPS"},
    }.items():
        put(tmp_path / name, data)
    source = open_at(tmp_path)
    good = ["a", "a.JPE", "a.download", "a.jfif", "b.dib", "c.pnm", "d.pbm", "e.dat", "f.heic"]
    assert [crop.key for crop in read(source)] == good
    for words in (
        "2 .md files, no images (more.md, notes.md)",
        "1 .psd files, no images (h.psd)",
        "1 of macOS's notes on other files (._a.png)",
        "1 .zip files, each of which can be a source of its own (g.zip)",
    ):
        assert words in source.description
    store = prepare([source], IngestParams(workers=1), tmp_path / "packed", need_labels=False)
    assert len(store) == 8


def test_confidence_is_a_column_to_filter_on_and_never_part_of_a_label(tmp_path):
    header = "key,text,confidence,confidences,error\n"
    rows = 'one.png,hello,0.9912,"[0.99, 0.98]",\nword 2.png,"a,b",0.2,"[0.2]",\n3.png,,0.0,[],truncated\n'
    put(images(tmp_path) / "words.csv", header + rows)
    assert labels(open_at(tmp_path)) == ["hello", "a,b", None]
    assert read(open_at(tmp_path))[2].reason == "no label: truncated"
    sure = read(open_at(tmp_path, min_confidence=0.9))
    assert [(crop.label, crop.reason) for crop in sure] == [
        ("hello", None),
        ("a,b", "low confidence: 0.2000, min_confidence = 0.9"),
        (None, "no label: truncated"),
    ]
    assert open_at(tmp_path).identity != open_at(tmp_path, min_confidence=0.9).identity
    put(images(tmp_path / "text") / "gt.txt", "one.png\thello\t0.9912\n3.png\tx\t0.1000\n")
    assert labels(open_at(tmp_path / "text")) == ["hello", "x"]
    assert read(open_at(tmp_path / "text", min_confidence=0.5))[1].reason.startswith("low confidence: 0.1")
    put(images(tmp_path / "none") / "gt.txt", "one.png\thello\n")
    with pytest.raises(InputError, match="min_confidence is 0.5, and .* gives no confidence: leave the option out"):
        open_at(tmp_path / "none", min_confidence=0.5)
    with pytest.raises(InputError, match="option 'min_confidence' is unknown for the layout folder"):
        open_at(images(tmp_path / "bare"), min_confidence=0.5)


def test_invisible_marks_and_line_ends_are_stripped_from_labels_with_a_word(tmp_path):
    put(images(tmp_path) / "gt.txt", "one.png\tdoor\u200b\n3.png\t\ufeffin\u200bside\n")
    source = open_at(tmp_path)
    assert labels(source) == ["door", "in\u200bside"]
    assert "2 labels with line ends or invisible marks at their ends, which are left out" in source.description


def test_pairs_keep_account_of_images_and_texts_that_stand_alone(tmp_path):
    images(tmp_path, ["a.png", "b.png", "c.png"])
    put(tmp_path / "a.gt.txt", "word\n")
    put(tmp_path / "c.gt.txt", "two\nlines\n")
    put(tmp_path / "gone.gt.txt", "lost")
    assert [(crop.key, crop.label, crop.reason) for crop in read(open_at(tmp_path))] == [
        ("a.png", "word", None),
        ("b.png", None, "no label"),
        ("c.png", None, "bad label: 2 lines in c.gt.txt, and one was expected"),
        ("gone.gt.txt", None, "missing image: there is none beside gone.gt.txt"),
    ]


def test_boxes_and_notes_beside_images_are_no_labels(tmp_path):
    for name in ("a", "b"):
        put(images(tmp_path / "yolo", ["a.png", "b.png"]) / f"{name}.txt", "0 0.5 0.5 0.1 0.2")
        put(images(tmp_path / "notes", ["a.png", "b.png"]) / f"{name}.txt", "one\ntwo\nthree\n")
    assert not open_at(tmp_path / "yolo").labeled and not open_at(tmp_path / "notes").labeled


def test_paddles_several_pictures_of_one_text_are_crops_each(tmp_path):
    put(images(tmp_path) / "rec.txt", '["one.png", "3.png"]\tdoor\nword 2.png\tin\n')
    assert [(crop.key, crop.label) for crop in read(open_at(tmp_path / "rec.txt"))] == [
        ("one.png", "door"),
        ("3.png", "door"),
        ("word 2.png", "in"),
    ]


def test_parquet_says_what_it_cannot_use(tmp_path):
    rows = [{"image": {"bytes": png(0), "path": None}, "label": 3}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    source = open_at(tmp_path / "a.parquet")
    assert not source.labeled and "its column label holds int64, no text, and is not used" in source.description
    pq.write_table(pa.table({"x": [1]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match="has the columns x, and none of them holds images"):
        open_at(tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"holds several splits \(a, b\): name one as the path"):
        open_at(tmp_path)
    put(tmp_path / "c.parquet", b"PAR1 cut off")
    with pytest.raises(InputError, match="c.parquet cannot be read as Parquet"):
        open_at(tmp_path / "c.parquet")


def test_parquet_is_read_by_ranges_over_its_row_groups(tmp_path):
    rows = [{"image": {"bytes": png(0) + b"%d" % n, "path": f"{n}.png"}, "text": f"w{n}"} for n in range(300)]
    for part in range(3):
        table = pa.Table.from_pylist(rows[100 * part : 100 * part + 100])
        pq.write_table(table, tmp_path / f"train-{part:05d}-of-00003.parquet", row_group_size=7)
    source = open_at(tmp_path / "train-*.parquet")
    assert len(source) == 300
    for start, stop in ((0, 300), (99, 101), (150, 151), (6, 207)):
        assert [(crop.data, crop.label) for crop in source.read(start, stop)] == [
            (row["image"]["bytes"], row["text"]) for row in rows[start:stop]
        ]
    assert list(source.labels(95, 105)) == [f"w{n}" for n in range(95, 105)]


def test_webdataset_keeps_account_of_every_member(tmp_path):
    members = {
        "a.png": png(0), "a.txt": b"door", "a.cls": b"3",
        "b.png": png(1),
        "c.txt": b"lost",
        "d.png": png(2), "d.json": b'{"caption": "x"}',
        "../e.png": png(2), "f.png": png(2), "f.txt": b"caf\xe9",
    }  # fmt: skip
    source = open_at(tar(tmp_path / "x.tar", members))
    assert [(crop.key, crop.data is None, crop.label, crop.reason) for crop in read(source)] == [
        ("x.tar/a", False, "door", None),
        ("x.tar/b", False, None, "no label"),
        ("x.tar/c", True, "lost", "missing image: the sample has none"),
        ("x.tar/d", False, None, "no label: none of text, label, words, word, transcription"),
        ("x.tar/f", False, None, "label not UTF-8"),
    ]
    assert "1 .cls members, neither images nor labels (a.cls)" in source.passed_over
    assert "1 files that lead out of the archive (x.tar/../e.png)" in source.passed_over
    plain = open_at(tar(tmp_path / "y.tar", {"README.txt": b"crops", "a.png": png(0)}))
    assert not plain.labeled and len(plain) == 1 and "1 names without an image (y.tar/README)" in plain.passed_over


def test_compressed_and_cut_off_tars_are_refused_with_what_to_do(tmp_path):
    whole = tar(tmp_path / "x.tar", {"a.png": png(0), "b.png": png(1)})
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as made:
        made.add(whole, "x.tar")
    with pytest.raises(InputError, match="is compressed, and crops are looked up in a tar: unpack it first"):
        open_at(tmp_path / "x.tar.gz")
    (tmp_path / "x.tar").write_bytes(whole.read_bytes()[:600])
    with pytest.raises(InputError, match="x.tar cannot be read as a tar"):
        open_at(tmp_path / "x.tar")


def test_a_zip_is_read_in_place_and_its_dangers_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("gt.txt", "a.png\tdoor\nhuge.png\tbig\n../../out.png\tout\n/etc/hostname\tabs\n")
        for name in ("a.png", "huge.png", "../../out.png", "/abs.png", "C:/win.png"):
            made.writestr(name, png(0) + (bytes(500) if name == "huge.png" else b""))
    source = open_at(tmp_path / "a.zip").limited(400)
    crops = read(source)
    assert not source.readable(["huge.png"]) and source.readable(["a.png"])
    assert [(crop.label, crop.data is None) for crop in crops] == [
        ("door", False),
        ("big", True),
        ("out", True),
        ("abs", True),
    ]
    assert "unreadable file: " in crops[1].reason and "400 are the most" in crops[1].reason
    bare = open_at(tmp_path / "a.zip", format="folder")
    assert "3 files that lead out of the archive" in bare.passed_over
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.zip"], "nothing is unpacked"


def test_names_in_a_zip_that_are_utf_8_without_saying_so_are_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("xafe.png", png(0))
        made.writestr("gt.txt", "Caf\u00e9.png\tdoor".replace("Caf\u00e9", "\u00e9fe"))
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"xafe.png", "\u00e9fe.png".encode()[:8]))
    assert [crop.data for crop in read(open_at(tmp_path / "a.zip"))] == [png(0)]


def test_a_damaged_zip_and_one_with_an_lmdb_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr("lmdb/data.mdb", b"x")
    with pytest.raises(InputError, match="holds an LMDB, .*: unpack it first"):
        open_at(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.png", png(0))
    data = bytearray((tmp_path / "b.zip").read_bytes())
    data[45:60] = struct.pack("15B", *range(15))
    (tmp_path / "b.zip").write_bytes(data)
    assert read(open_at(tmp_path / "b.zip"))[0].reason.startswith("unreadable file: ")


def test_reading_a_folder_reads_its_images_whatever_lists_lie_there(tmp_path):
    images(tmp_path)
    for name in ("train.jsonl", "val.jsonl"):
        put(tmp_path / name, '{"filename": "one.png", "text": "a"}')
    put(tmp_path / "takeout.json", '{"title": "x"}')
    with pytest.raises(
        InputError, match=r"2 lists of crops \(train.jsonl, val.jsonl\): name the file instead of the folder"
    ):
        open_at(tmp_path)
    source = open_images(tmp_path)
    assert (source.format, len(source)) == ("folder", 3)
    lists = put(tmp_path / "lists" / "gt.txt", "one.png\ta\n").parent
    assert [crop.data for crop in read(open_images(lists))] == [png(0)], "a folder without images is read by its list"
    assert len(open_images(webdataset(tmp_path / "tars"))) == 3


def test_detection_says_what_it_recognized(tmp_path):
    found = detect(easyocr(tmp_path))
    assert (found.layout.name, found.path.name, found.why) == (
        "easyocr",
        "labels.csv",
        "in labels.csv: a first line `filename,words`",
    )


def test_a_name_that_stands_twice_in_labels_json_is_told_and_not_overwritten(tmp_path):
    put(images(tmp_path) / "labels.json", '{"one.png": "door", "word 2.png": "a", "one.png": "window"}')
    with pytest.raises(InputError, match="'one.png' stands in it more than once"):
        open_source("words", {"path": str(tmp_path / "labels.json"), "format": "json"})


def test_a_json_file_that_was_mended_is_looked_at_again(tmp_path):
    file = put(images(tmp_path) / "labels.json", "{}")
    assert open_source("words", {"path": str(tmp_path)}).format == "folder"
    put(file, '{"one.png": "door"}')
    assert open_source("words", {"path": str(tmp_path)}).format == "json"
