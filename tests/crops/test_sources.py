"""Every public layout, as a small replica that the test writes, is read as it is; a fault stays with its crop."""

import json
import os
import pickle
import shutil

import cv2
import lmdb
import numpy as np
import pytest

from lmim_kedro.crops.sources.image_files import Entry, open_listed
from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.crops.sources.source import Layout, RawCrop
from lmim_kedro.errors import InputError
from lmim_kedro.registries import LAYOUTS


def png(shade=120):
    return cv2.imencode(".png", np.full((8, 20, 3), shade, np.uint8))[1].tobytes()


def write_lmdb(folder, entries):
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), lock=False) as env, env.begin(write=True) as txn:
        for key, value in entries.items():
            txn.put(key.encode(), value)
    return folder


def write_images(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png())


def read(source):
    return list(source.read(0, len(source)))


def open_at(path, **spec):
    return open_source("a", {"path": str(path), **spec})


def test_labeled_lmdb_is_detected_and_read_in_order(tmp_path):
    entries = {"num-samples": b"2", "image-000000001": png(1), "image-000000002": png(2)}
    folder = write_lmdb(tmp_path / "SVT", entries | {"label-000000001": b"DOOR", "label-000000002": "Café 24".encode()})
    source = open_at(folder)
    assert (source.format, source.labeled, len(source)) == ("lmdb", True, 2)
    assert source.description.startswith("LMDB of 2 crops with labels in ")
    assert [(crop.key, crop.data, crop.label) for crop in read(source)] == [
        ("image-000000001", png(1), "DOOR"),
        ("image-000000002", png(2), "Café 24"),
    ]
    assert open_at(folder / "data.mdb").description == source.description


def test_image_only_lmdb_is_unlabeled(tmp_path):
    source = open_at(write_lmdb(tmp_path / "book32_lmdb", {"num-samples": b"1", "image-000000001": png()}))
    assert not source.labeled
    assert [crop.label for crop in read(source)] == [None]


def test_lmdb_keys_of_other_widths_that_count_from_zero_are_read(tmp_path):
    entries = {
        "num-samples": b"2",
        "image-00000": png(1),
        "image-00001": png(2),
        "label-00000": b"a",
        "label-00001": b"b",
    }
    crops = read(open_at(write_lmdb(tmp_path / "x", entries)))
    assert [(crop.data, crop.label) for crop in crops] == [(png(1), "a"), (png(2), "b")]


def test_missing_image_missing_label_and_bad_label_of_an_lmdb_keep_their_reasons(tmp_path):
    entries = {"num-samples": b"4", **{f"image-00000000{n}": png() for n in (1, 3, 4)}}
    entries |= {"label-000000001": b"ok", "label-000000002": b"gone", "label-000000003": b"caf\xe9"}
    crops = read(open_at(write_lmdb(tmp_path / "x", entries)))
    assert [(crop.data is None, crop.label, crop.reason) for crop in crops] == [
        (False, "ok", None),
        (True, None, "missing image: the LMDB has no such key"),
        (False, None, "label not UTF-8"),
        (False, None, "no label"),
    ]


def test_lmdb_without_num_samples_is_refused_with_what_it_holds(tmp_path):
    folder = write_lmdb(tmp_path / "x", {"img_1": png(), "img_2": png()})
    with pytest.raises(
        InputError, match=r"source a: the LMDB .*x has no key num-samples; its 2 keys are like b'img_1'"
    ):
        open_at(folder)


def test_images_beyond_num_samples_are_told(tmp_path):
    entries = {"num-samples": b"2"} | {f"image-{number:09d}": png() for number in (1, 2, 3)}
    source = open_at(write_lmdb(tmp_path / "a", entries))
    assert len(source) == 2
    assert "more images than its num-samples says, which are not read" in source.description
    counted = write_lmdb(tmp_path / "b", entries | {"num-samples": b"3"})
    assert "num-samples" not in open_at(counted).description


def test_lmdb_in_a_file_of_its_own_is_refused_with_what_to_do(tmp_path):
    with lmdb.open(str(tmp_path / "words.txt"), subdir=False, lock=False) as env, env.begin(write=True) as txn:
        txn.put(b"num-samples", b"0")
    with pytest.raises(InputError, match=r"an LMDB in a file of its own: move it into a folder, as data\.mdb"):
        open_at(tmp_path / "words.txt")


def test_names_that_no_file_can_have_are_rows_with_a_reason(tmp_path):
    write_images(tmp_path, ["a.png"])
    lines = [{"filename": "a.png", "text": "a"}, {"filename": 12, "text": "b"}, {"filename": "c\0.png", "text": "c"}]
    lines += [{"filename": "d" * 300 + ".png", "text": "d"}]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    reasons = [crop.reason for crop in read(open_at(tmp_path / "all.jsonl"))]
    assert reasons[0] is None and reasons[1].startswith("bad line")
    assert all(reason.startswith("unreadable file: ") for reason in reasons[2:])


def test_a_list_whose_first_label_is_empty_is_a_list(tmp_path):
    write_images(tmp_path, ["a.png", "b.png"])
    (tmp_path / "gt.txt").write_text("a.png\t\nb.png\tword\n")
    assert [crop.label for crop in read(open_at(tmp_path))] == ["", "word"]


def test_a_folder_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    write_images(tmp_path, ["a.png", "closed/b.png"])
    scan = os.scandir

    def refuse(folder):
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"closed cannot be read \(Permission denied\)"):
        open_at(tmp_path)


def test_a_source_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    def refuse(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(tmp_path), "exists", refuse)
    with pytest.raises(InputError, match=r"source a: .*words cannot be read \(Permission denied\)"):
        open_at(tmp_path / "words")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"split": "heldout"}, "no number of words was given"),
        ({"words": 10, "brevity": 0}, "brevity is 0: choose a number above 0"),
        ({"words": 10, "fonts": {"nowhere": 1}}, "there is no font at nowhere"),
        ({"words": 10, "fonts": "nowhere"}, "fonts is 'nowhere': give places with their weights"),
        ({"words": 10, "vocabulary": {"number": 1}}, r"neither a file nor a pattern \(did you mean `numbers`\?\)"),
        ({"words": 10, "vocabulary": {"numbers": -1}}, "the weight -1: give a number of at least 0"),
        ({"words": 10, "case": {"uper": 1}}, r"case names 'uper' \(did you mean `upper`\?\)"),
        ({"words": 10, "styles": {"easy": {"blur": [2, 1]}}}, "`styles.easy.blur` is .*2 is above 1"),
        ({"words": 10, "styles": {"easy": {"share": 0}}}, "styles gives none a share above 0"),
        ({"words": 10, "grounds": {"street": {"path": "nowhere"}}}, "street: there is nothing at nowhere"),
        ({"words": "many"}, "words cannot be rendered with"),
    ],
)
def test_words_that_cannot_be_rendered_are_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        open_source("a", {"format": "rendered", **options})


def test_file_that_is_no_lmdb_is_refused(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"<html>quota exceeded</html>" * 500)
    with pytest.raises(InputError, match="cannot be opened: .* not an LMDB; copy or download it again"):
        open_at(tmp_path)


def test_lmdb_whose_download_was_cut_is_refused_before_reading_it_kills_the_process(tmp_path):
    folder = write_lmdb(tmp_path / "x", {"num-samples": b"9"} | {f"image-{n:09d}": bytes(90_000) for n in range(1, 10)})
    whole = (folder / "data.mdb").stat().st_size
    os.truncate(folder / "data.mdb", whole * 6 // 10)
    with pytest.raises(InputError, match=rf"x is cut off: its data.mdb has .* bytes and {whole:,} were expected"):
        open_at(folder)


def test_union14m_annotation_finds_full_images_two_folders_up(tmp_path):
    write_images(tmp_path / "full_images", ["art_curve/1.png", "COCOTextV2/2.png"])
    annotation = tmp_path / "train_annos" / "mmocr-0.x" / "train_easy.jsonl"
    annotation.parent.mkdir(parents=True)
    lines = [{"filename": "art_curve/1.png", "text": "HELLO WORLD"}, {"filename": "COCOTextV2/2.png", "text": '"a", b'}]
    annotation.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    source = open_at(annotation)
    assert (source.format, source.labeled, len(source)) == ("jsonl", True, 2)
    assert [(crop.key, crop.data, crop.label) for crop in read(source)] == [
        ("art_curve/1.png", png(), "HELLO WORLD"),
        ("COCOTextV2/2.png", png(), '"a", b'),
    ]


def test_union14m_benchmark_folder_is_read_by_its_jsonl(tmp_path):
    write_images(tmp_path / "curve", ["imgs/1.png"])
    (tmp_path / "curve" / "annotation.jsonl").write_text('{"filename": "imgs/1.png", "text": "Curve"}')
    (tmp_path / "curve" / "annotation.json").write_text("{}")
    source = open_at(tmp_path / "curve")
    assert (source.format, [crop.label for crop in read(source)]) == ("jsonl", ["Curve"])


def test_general_subset_with_paths_from_the_root_is_found(tmp_path):
    write_images(tmp_path / "Union14M-L", ["full_images/coco/7.png"])
    folder = tmp_path / "Union14M-L" / "Union14M-Benchmarks" / "general"
    folder.mkdir(parents=True)
    (folder / "annotation.jsonl").write_text('{"filename": "full_images/coco/7.png", "text": "seven"}')
    assert [crop.data for crop in read(open_at(folder))] == [png()]


def test_mmocr_json_is_read_with_windows_paths_and_faults(tmp_path):
    write_images(tmp_path, ["train/1.png", "train/2.png", "train/3.png"])
    records = [
        {"img_path": "train\\1.png", "instances": [{"text": "Z NO: 2808"}]},
        {"img_path": "train/2.png", "instances": []},
        {"img_path": "train/3.png", "instances": [{"text": "a"}, {"text": "b"}]},
        {"instances": [{"text": "lost"}]},
    ]
    (tmp_path / "train.json").write_text(json.dumps({"metainfo": {}, "data_list": records}))
    source = open_at(tmp_path / "train.json")
    assert source.format == "mmocr"
    assert [(crop.key, crop.label, crop.reason) for crop in read(source)] == [
        ("train/1.png", "Z NO: 2808", None),
        ("train/2.png", None, "no label"),
        ("train/3.png", None, "2 labels for one crop"),
        ("entry 4", None, "bad line: expected img_path and instances with a text"),
    ]


def test_icdar_list_with_mark_quotes_commas_and_escapes(tmp_path):
    write_images(tmp_path, [f"word_{n}.png" for n in range(1, 8)])
    lines = ['word_1.png, "JOINT"', 'word_2.png, "1,000, or so"', r'word_3.png, "\"SCAN\""', 'word_4.png, ""SCAN""']
    lines += ['word_5.png, "C:\\\\new"', "word_6.png, plain", 'word_7.png, "Genaxis Theatre"']
    (tmp_path / "gt.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    source = open_at(tmp_path)
    labels = ["JOINT", "1,000, or so", '"SCAN"', '"SCAN"', r"C:\new", "plain", "Genaxis Theatre"]
    assert source.format == "icdar"
    assert [(crop.key, crop.label) for crop in read(source)] == [
        (f"word_{number}.png", label) for number, label in enumerate(labels, 1)
    ]


def test_tab_list_keeps_spaces_and_commas_in_labels(tmp_path):
    write_images(tmp_path, ["images/1.jpg", "images/2.jpg"])
    (tmp_path / "gt.txt").write_text("images/1.jpg\tThe end, my friend\nimages/2.jpg\t 老 字 号\n", encoding="utf-8")
    source = open_at(tmp_path)
    assert source.format == "list"
    assert [crop.label for crop in read(source)] == ["The end, my friend", " 老 字 号"]


def test_lines_that_cannot_be_read_are_rows_with_a_reason(tmp_path):
    write_images(tmp_path, ["1.png", "2.png", "3.png"])
    lines = [b"1.png\tok", b"no tab here", b"2.png\tcaf\xe9", b"3.png\tlast", b"4.png\tnever copied"]
    (tmp_path / "gt.txt").write_bytes(b"\n".join(lines))
    crops = read(open_at(tmp_path))
    assert [(crop.key, crop.data is None, crop.label, crop.reason) for crop in crops] == [
        ("1.png", False, "ok", None),
        ("line 2", True, None, "bad line: expected lines of path<TAB>label"),
        ("2.png", False, None, "label not UTF-8"),
        ("3.png", False, "last", None),
        ("4.png", True, "never copied", "missing file"),
    ]


def test_label_with_half_a_surrogate_pair_keeps_a_reason(tmp_path):
    write_images(tmp_path, ["1.png"])
    (tmp_path / "a.jsonl").write_text(r'{"filename": "1.png", "text": "\ud83d"}')
    assert [crop.reason for crop in read(open_at(tmp_path))] == ["label not UTF-8"]


def test_plain_folder_lists_images_of_all_subfolders_by_name(tmp_path):
    write_images(tmp_path, ["b/2.png", "a/1.JPG", "0.webp"])
    (tmp_path / "README.txt").write_text("Crops, that is, cut from photographs.\n")
    source = open_at(tmp_path)
    assert (source.format, source.labeled) == ("folder", False)
    assert [crop.key for crop in read(source)] == ["0.webp", "a/1.JPG", "b/2.png"]


def test_images_option_names_the_folder_of_a_list_elsewhere(tmp_path):
    write_images(tmp_path / "far" / "away", ["1.png"])
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "train.txt").write_text("1.png\tone\n")
    with pytest.raises(
        InputError, match="none of 1 files that .*train.txt lists, such as 1.png, lies below .*`images`"
    ):
        open_at(tmp_path / "lists" / "train.txt")
    assert read(open_at(tmp_path / "lists" / "train.txt", images="../far/away"))[0].data == png()


def test_labels_can_be_left_out(tmp_path):
    write_images(tmp_path, ["1.png"])
    (tmp_path / "gt.txt").write_bytes(b"1.png\tcaf\xe9\n2.png\tgone")
    source = open_at(tmp_path, use_labels=False)
    assert not source.labeled
    assert source.description.endswith("(labels not used)")
    assert [(crop.data, crop.label, crop.reason) for crop in read(source)][0] == (png(), None, None)
    assert read(source)[1].reason == "missing file"


def test_ranges_give_the_same_crops_as_the_whole_even_when_narrowed_and_pickled(tmp_path):
    write_images(tmp_path, [f"{number}.png" for number in range(12)])
    (tmp_path / "gt.txt").write_text("".join(f"{number}.png\tw{number}\n" for number in range(12)))
    source = open_at(tmp_path)
    ranges = [(0, 5), (5, 11), (11, 12)]
    parts = [pickle.loads(pickle.dumps(source.only(start, stop))).read(start, stop) for start, stop in ranges]
    assert [crop for part in parts for crop in part] == read(source)


def test_narrowed_list_carries_its_own_lines_only(tmp_path):
    write_images(tmp_path, ["0.png"])
    (tmp_path / "gt.txt").write_text("".join(f"{number}.png\tword number {number}\n" for number in range(5000)))
    source = open_at(tmp_path)
    assert len(pickle.dumps(source.only(100, 110))) < len(pickle.dumps(source)) / 20


def test_identity_follows_the_content_not_the_place(tmp_path):
    entries = {"num-samples": b"1", "image-000000001": png()}
    first = open_at(write_lmdb(tmp_path / "a", entries)).identity
    assert open_at(write_lmdb(tmp_path / "b", entries)).identity == first
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    with lmdb.open(str(tmp_path / "c"), lock=False) as env, env.begin(write=True) as txn:
        txn.put(b"image-000000001", png(9))
    assert open_at(tmp_path / "c").identity != first


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"path": "nowhere/at/all"}, r"there is nothing at .*nowhere.at.all \(.* holds empty, sets\): check the path"),
        ({"path": "empty"}, "empty holds no crop: image files or a list of them were expected"),
        ({"path": "sets"}, r"sets holds 2 LMDBs \(book32_lmdb, cc_lmdb\): name each as a source of its own"),
        (
            {"path": "empty", "format": "lmbd"},
            r"format 'lmbd' is unknown \(did you mean `lmdb`\?\): choose one of lmdb, jsonl",
        ),
        ({"path": "empty", "formt": "lmdb"}, r"option 'formt' is unknown \(did you mean `format`\?\): it takes path"),
        ({"path": "empty", "use_labels": "no"}, "use_labels = 'no' was found: true or false was expected"),
        ({"path": "empty", "format": "lmdb"}, "no LMDB at .*empty: a folder with data.mdb was expected"),
        ({"path": "empty", "format": "icdar"}, "empty holds no list of crops in the layout icdar"),
        ({}, "no path was given"),
    ],
)
def test_what_cannot_be_opened_is_said_in_a_sentence(tmp_path, spec, sentence):
    (tmp_path / "empty").mkdir()
    for name in ("book32_lmdb", "cc_lmdb"):
        write_lmdb(tmp_path / "sets" / name, {"num-samples": b"0"})
    if "path" in spec:
        spec = spec | {"path": str(tmp_path / spec["path"])}
    with pytest.raises(InputError, match=r"^source a: (?s:.*)" + sentence):
        open_source("a", spec)


def test_path_without_a_key_is_refused_with_the_spelling():
    with pytest.raises(InputError, match=r"write \{path: data/x\}"):
        open_source("a", "data/x")


class Rendered:
    """Stands in for the renderer: the catalog's options are its arguments."""

    format, description, labeled = "rendered", "rendered words", True

    def __init__(self, words, seed=0, split="pretraining"):
        self.words, self.identity = words, f"{seed}"

    def __len__(self):
        return self.words

    def read(self, start, stop):
        return (RawCrop(f"{number}", png(number), f"w{number}") for number in range(start, stop))


def test_rendered_words_take_their_options_from_the_catalog(monkeypatch):
    monkeypatch.setattr("lmim_kedro.crops.sources.rendered.RenderedWords", Rendered)
    spec = {"format": "rendered", "words": 5, "split": "heldout"}
    source = open_source("words", spec)
    assert (source.name, source.format, source.labeled, len(source)) == ("words", "rendered", True, 5)
    assert [crop.label for crop in source.read(1, 3)] == ["w1", "w2"]
    assert [crop.label for crop in open_source("words", spec | {"use_labels": False}).read(0, 1)] == [None]
    assert open_source("words", spec | {"seed": 1}).identity != source.identity
    with pytest.raises(
        InputError, match=r"option 'word' is unknown \(did you mean `words`\?\): it takes words, seed, split"
    ):
        open_source("words", spec | {"word": 5})


def test_several_lists_in_one_folder_are_not_guessed_between(tmp_path):
    write_images(tmp_path, ["1.png"])
    for name in ("train.jsonl", "val.jsonl"):
        (tmp_path / name).write_text('{"filename": "1.png", "text": "a"}')
    with pytest.raises(InputError, match=r"2 lists of crops \(train.jsonl, val.jsonl\): name the file"):
        open_at(tmp_path)


def test_list_in_another_layout_than_named_is_refused_with_its_first_line(tmp_path):
    write_images(tmp_path, ["1.png"])
    (tmp_path / "gt.txt").write_text("1.png one\n")
    with pytest.raises(
        InputError, match=r"no line of .*gt.txt could be read: .*TAB.* were expected, '1.png one' was found"
    ):
        open_at(tmp_path, format="list")


class NotesReader:
    """Images with a text file beside each, a layout that the project does not know."""

    format, labeled = "notes", True

    def __init__(self, path):
        self.images = sorted(path.glob("*.png"))
        self.description, self.identity = f"{len(self)} notes", f"notes {[image.name for image in self.images]}"

    def __len__(self):
        return len(self.images)

    def read(self, start, stop):
        for image in self.images[start:stop]:
            yield RawCrop(image.name, image.read_bytes(), image.with_suffix(".note").read_text())


def looks_like_notes(path):
    return path.is_dir() and any(image.with_suffix(".note").is_file() for image in path.glob("*.png"))


@pytest.fixture
def notes(tmp_path, monkeypatch):
    monkeypatch.setattr(LAYOUTS, "_entries", dict(LAYOUTS._entries))
    LAYOUTS.register("notes", Layout("notes", NotesReader, looks_like_notes, options=("path",)))
    write_images(tmp_path / "notes", ["a.png", "b.png"])
    for name in "ab":
        (tmp_path / "notes" / f"{name}.note").write_text(f"word, {name}")
    return tmp_path / "notes"


@pytest.mark.parametrize("spec", [{}, {"format": "notes"}])
def test_a_layout_registered_from_outside_is_read_by_name_and_by_detection(notes, spec):
    source = open_at(notes, **spec)
    assert (source.format, source.labeled, source.root) == ("notes", True, None)
    assert [(crop.key, crop.data, crop.label) for crop in read(source)] == [
        ("a.png", png(), "word, a"),
        ("b.png", png(), "word, b"),
    ]
    assert read(pickle.loads(pickle.dumps(source.only(1, 2)))) == read(source)
    assert not source.readable(["a.png"])


def test_a_layout_registered_from_outside_takes_its_options_alone(notes):
    with pytest.raises(InputError, match=r"option 'images' is unknown: it takes path, format, use_labels"):
        open_at(notes, format="notes", images="elsewhere")


def test_a_list_layout_registered_from_outside_is_found_in_a_folder(tmp_path, monkeypatch):
    def opened(path, images):
        entries = (Entry(*line.split("|")) for line in path.read_text().splitlines())
        return open_listed(path, images, name="bars", kind="table", read=lambda _: entries)

    monkeypatch.setattr(LAYOUTS, "_entries", dict(LAYOUTS._entries))
    LAYOUTS.register("bars", Layout("bars", opened, lambda path: path.suffix == ".bars", (".bars",)))
    write_images(tmp_path, ["a.png"])
    (tmp_path / "words.bars").write_text("a.png|word")
    for spec in ({}, {"format": "bars"}):
        source = open_at(tmp_path, **spec)
        assert (source.format, [crop.label for crop in read(source)]) == ("bars", ["word"])


@pytest.mark.parametrize("layout", ["lmdb", "folder"])
def test_path_of_data_mdb_means_its_folder(tmp_path, layout):
    write_lmdb(tmp_path / "x", {"num-samples": b"1", "image-000000001": png()})
    write_images(tmp_path / "x", ["a.png"])
    assert len(open_at(tmp_path / "x" / "data.mdb", format=layout)) == 1


def test_file_with_a_line_that_names_no_image_is_a_list_only_where_it_is_named(tmp_path):
    write_images(tmp_path, ["a.png"])
    (tmp_path / "notes.txt").write_text("hello, world\na.png, word\n")
    assert open_at(tmp_path).format == "folder"
    assert open_at(tmp_path / "notes.txt").format == "icdar"
