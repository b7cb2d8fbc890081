"""Lists that no program writes end in crops with reasons or in a sentence, whatever they hold."""

import json

import cv2
import numpy as np
import pytest

from lmim_kedro.crops.sources.open import open_source
from lmim_kedro.errors import InputError

IMAGE = cv2.imencode(".png", np.zeros((20, 40, 3), np.uint8))[1].tobytes()
NAMED = {"filename": "a.png", "text": "door"}


def mmocr(**record):
    entry = {"img_path": "a.png", "instances": [{"text": "door"}]} | record
    return json.dumps({"metainfo": {}, "data_list": [entry, {"img_path": "a.png", "instances": [{"text": "gate"}]}]})


def reasons(folder, name, content):
    (folder / "a.png").write_bytes(IMAGE)
    (folder / name).write_bytes(content.encode("utf-8", "surrogatepass"))
    source = open_source("a", {"path": str(folder / name)})
    return [crop.reason and crop.reason.partition(":")[0] for crop in source.read(0, len(source))]


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        *[("m.json", mmocr(instances=given), ["bad line", None]) for given in (3, "x", [None], [[]], [{"text": 3}])],
        *[("m.json", mmocr(img_path=given), ["bad line", None]) for given in (None, 3, [], {})],
        ("m.json", mmocr(instances=[]), ["no label", None]),
        ("m.json", mmocr(img_path="\0"), ["unreadable file", None]),
        ("m.json", mmocr(img_path="a" * 5000), ["unreadable file", None]),
        ("l.jsonl", '{"filename": "a.png", "text": "door", "confidence": 1%s}' % ("0" * 400), [None]),
        ("l.jsonl", json.dumps(NAMED) + "\n" + "[" * 100_000, [None, "bad line"]),
        ("l.jsonl", json.dumps(NAMED) + '\n{"filename": "a.png", "text": "b", "text": "c"}', [None, "bad line"]),
        ("l.jsonl", json.dumps(NAMED) + "\r" + json.dumps(NAMED), [None, None]),
        ("r.json", json.dumps([NAMED | {"confidence": 10**400}, 3, None, [], NAMED]), [None, *["bad line"] * 3, None]),
        ("o.json", '{"a.png": "\ud800"}', ["label not UTF-8"]),
        ("t.txt", "a.png\tdoor\ra.png\tgate\r\na.png\t\0\n", [None, None, None]),
    ],
)
def test_odd_entries_keep_their_places_with_the_reason(tmp_path, name, content, found):
    assert reasons(tmp_path, name, content) == found


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("o.json", '{"a":' * 50_000, "o.json is no list of crops: it is no JSON that can be read"),
        ("o.json", '{"a.png": "door"', "o.json is no list of crops: it is no JSON that can be read"),
        ("m.json", '{"metainfo": {}, "data_list": {"img_path": "a.png"}}', "m.json is no list of crops"),
        ("l.jsonl", "\r\r\r", "l.jsonl is no list of crops: "),
        ("w.xml", '<!DOCTYPE a [<!ENTITY b "x">]><t><image file="&c;"/></t>', "w.xml is no list of crops"),
    ],
)
def test_files_that_are_no_lists_are_sentences(tmp_path, name, content, sentence):
    with pytest.raises(InputError, match=sentence):
        reasons(tmp_path, name, content)
