"""What is no regular file, is too large or lies elsewhere is refused with a sentence; nothing waits for ever."""

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from lmim_kedro.cli import cli
from lmim_kedro.crops.ingest.plan import prepare
from lmim_kedro.crops.sources.image_files import leads_outside, read_file
from lmim_kedro.crops.sources.open import open_images, open_source
from lmim_kedro.errors import InputError
from lmim_kedro.files import json_of, open_regular, read_text
from lmim_kedro.params import MAX_BYTES, IngestParams

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
ELSEWHERE = "outside the source: allow_outside: true in the source (--allow-outside for a command)"


def png(number=0):
    pixels = np.random.default_rng(number).integers(0, 256, (20, 40, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def put(path, content=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def sparse(path, size=60 * 10**9):
    with put(path).open("rb+") as file:
        file.truncate(size)
    return path


def reasons(source):
    return {crop.key: crop.reason for crop in source.read(0, len(source))}


@pytest.fixture(autouse=True)
def in_time():
    """A pipe that was opened would be waited for."""
    import signal

    signal.alarm(20)
    yield
    signal.alarm(0)


def test_pipes_devices_and_large_files_among_images_keep_their_places_with_the_reason(tmp_path):
    put(tmp_path / "a.png", png())
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "no_suffix")
    sparse(tmp_path / "sparse.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    source = open_source("a", {"path": str(tmp_path), "allow_outside": True})
    assert reasons(source) == {
        "a.png": None,
        "pipe.png": "unreadable file: a pipe, no regular file",
        "sparse.png": f"unreadable file: 60,000,000,000 bytes, and {MAX_BYTES:,} are the most",
        "zero.png": "unreadable file: a device, no regular file",
    }
    assert "no_suffix" in source.passed_over
    store = prepare([source], IngestParams(workers=1), tmp_path.parent / "store", need_labels=False)
    assert len(store) == 1


def test_limit_of_bytes_is_a_parameter_and_remembered(tmp_path):
    put(tmp_path / "raw" / "a.png", png())
    put(tmp_path / "raw" / "b.png", png(1) + bytes(5000))
    source = open_source("a", {"path": str(tmp_path / "raw")})
    sizes = []
    for most in (None, 5000, 5000, None):
        params = IngestParams(workers=1, **({} if most is None else {"max_bytes": most}))
        sizes.append(len(prepare([source], params, tmp_path / "store", need_labels=False)))
    assert sizes == [2, 1, 1, 2]
    with pytest.raises(ValueError, match="less than or equal to 1073741824"):
        IngestParams(max_bytes=2**31)


@pytest.mark.parametrize(
    "name", ["list.txt", "list.csv", "list.json", "words.xml", "x.parquet", "x.tar", "x.zip", "x.png"]
)
def test_pipe_that_is_named_is_a_sentence(tmp_path, name, capsys):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=f"{name} is a pipe, no file: copy what it gives into a file"):
        open_source("a", {"path": str(tmp_path / name)})
    assert cli.main(["inspect", str(tmp_path / name)], standalone_mode=False) == 2
    assert "is a pipe" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["gt.txt", "labels.csv", "a.gt.txt", "x-0.parquet", "x.tar", "labels.json"])
def test_pipe_beside_images_is_not_waited_for(tmp_path, name):
    put(tmp_path / "a.png", png())
    os.mkfifo(tmp_path / name)
    try:
        assert reasons(open_source("a", {"path": str(tmp_path)}))["a.png"] is None or name == "a.gt.txt"
    except InputError as error:
        assert "is a pipe" in str(error) and name in ("x-0.parquet", "x.tar")


def test_device_and_sparse_file_are_sentences_wherever_text_is_read(tmp_path):
    for path, reason in (
        (Path("/dev/zero"), "a device, no regular file"),
        (sparse(tmp_path / "a.json"), "60,000,000,000"),
    ):
        for read in (read_text, json_of):
            with pytest.raises(InputError, match=reason):
                read(path)
    assert read_file(tmp_path / "a.json")[1].startswith("unreadable file: 60,000,000,000 bytes")
    with pytest.raises(InputError, match="/dev/zero is a device"):
        open_source("a", {"path": "/dev/zero"})


def test_list_of_zeros_ends_at_once(tmp_path):
    began = time.process_time()
    path = sparse(tmp_path / "gt.txt")
    path.open("rb+").write(b"a.png\tdoor\n")
    put(tmp_path / "a.png", png())
    with pytest.raises(InputError, match="line 2 of .*gt.txt has 10,000,000 characters or more: it is no list"):
        open_source("a", {"path": str(path)})
    assert time.process_time() - began < 2


@pytest.mark.parametrize(("file", "outside"), [("a/b.png", False), ("a/../b.png", False), ("../x/b.png", False),
    ("../b.png", True), ("a/../../b.png", True), ("/etc/hostname", True), (".", True), ("link/b.png", True),
    ("linked.png", True), ("near.png", False)])  # fmt: skip
def test_a_path_is_outside_where_it_leads_there(tmp_path, file, outside):
    root = tmp_path / "x"
    (root / "a").mkdir(parents=True)
    put(tmp_path / "y" / "b.png")
    (root / "link").symlink_to("../y")
    (root / "linked.png").symlink_to("../y/b.png")
    (root / "near.png").symlink_to("a/b.png")
    assert leads_outside(root, file) == outside


def test_root_that_is_a_link_itself_is_the_users_choice(tmp_path):
    put(tmp_path / "disk" / "a.png", png())
    (tmp_path / "raw").symlink_to("disk")
    assert reasons(open_source("a", {"path": str(tmp_path / "raw")})) == {"a.png": None}


def test_files_outside_of_a_list_are_refused_unless_allowed(tmp_path, capsys):
    put(tmp_path / "secret" / "b.png", png(1))
    put(tmp_path / "set" / "a.png", png())
    (tmp_path / "set" / "linked.png").symlink_to("../secret/b.png")
    names = ["a.png", "../secret/b.png", f"{tmp_path}/secret/b.png", "linked.png"]
    gt = put(tmp_path / "set" / "gt.txt", "".join(f"{name}\tword\n" for name in names))
    found = reasons(open_source("a", {"path": str(gt)}))
    assert {name: str(reason).partition(" reads")[0] for name, reason in found.items()} == {
        "a.png": "None", **dict.fromkeys(names[1:], ELSEWHERE)
    }  # fmt: skip
    allowed = open_source("a", {"path": str(gt), "allow_outside": True})
    assert set(reasons(allowed).values()) == {None}
    assert allowed.identity != open_source("a", {"path": str(gt)}).identity
    with pytest.raises(InputError, match="allow_outside = 'yes' was found: true or false was expected"):
        open_source("a", {"path": str(gt), "allow_outside": "yes"})
    for options, rows in ((["--allow-outside"], 0), ([], 3)):
        assert cli.main(["inspect", str(gt), *options], standalone_mode=False) is None
        assert capsys.readouterr().out.count(ELSEWHERE) == rows


def test_list_of_which_all_lies_outside_is_a_sentence_that_says_how_to_allow_it(tmp_path):
    put(tmp_path / "far" / "a.png", png())
    gt = put(tmp_path / "1" / "2" / "3" / "4" / "gt.txt", f"{tmp_path}/far/a.png\tword\n")
    with pytest.raises(InputError, match=r"1 of 1 files that .*, such as .*a.png, lie outside .*: allow_outside: true"):
        open_source("a", {"path": str(gt)})
    assert reasons(open_images(gt, allow_outside=True)) == {f"{tmp_path}/far/a.png": None}


def test_absolute_paths_below_the_folder_of_the_list_are_inside(tmp_path):
    put(tmp_path / "a.png", png())
    gt = put(tmp_path / "lists" / "gt.txt", f"{tmp_path}/a.png\tword\n")
    assert reasons(open_source("a", {"path": str(gt)})) == {f"{tmp_path}/a.png": None}


def test_folder_that_is_linked_from_elsewhere_is_named_and_followed_only_if_allowed(tmp_path):
    put(tmp_path / "far" / "b.png", png(1))
    put(tmp_path / "raw" / "a.png", png())
    put(tmp_path / "raw" / "own" / "c.png", png(2))
    (tmp_path / "raw" / "link").symlink_to("../far")
    (tmp_path / "raw" / "root").symlink_to("/")
    source = open_source("a", {"path": str(tmp_path / "raw")})
    assert set(reasons(source)) == {"a.png", "own/c.png"}
    assert "2 links to folders, which are not followed" in source.passed_over
    (tmp_path / "raw" / "root").unlink()
    allowed = open_source("a", {"path": str(tmp_path / "raw"), "allow_outside": True})
    assert reasons(allowed) == dict.fromkeys(["a.png", "link/b.png", "own/c.png"])


def test_label_in_a_text_that_is_a_link_elsewhere_is_not_read(tmp_path):
    put(tmp_path / "secret.txt", "password")
    put(tmp_path / "raw" / "a.png", png())
    (tmp_path / "raw" / "a.gt.txt").symlink_to("../secret.txt")
    (crop,) = open_source("a", {"path": str(tmp_path / "raw")}).read(0, 1)
    assert (crop.label, crop.reason) == (None, "no label: a.gt.txt is a link that leads outside the source")


def test_opened_file_is_closed_when_it_is_refused(tmp_path):
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(20):
        with pytest.raises(OSError):
            open_regular(Path("/dev/zero"))
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 1
