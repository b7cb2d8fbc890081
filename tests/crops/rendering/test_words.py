"""The vocabulary: lists, patterns, case, symbols."""

import re
from collections import Counter

import pytest

from lmim_kedro.crops.rendering.draws import Draws
from lmim_kedro.crops.rendering.words import PATTERNS, Vocabulary
from lmim_kedro.errors import InputError

AS_IS = {"as_is": 1.0}
SHAPES = {
    "syllables": r"[a-z]{3,8}",
    "numbers": r"\d{1,5}",
    "prices": r"[$£€]?\d{1,3}([.,]\d{2,3})?%?",
    "dates": r"\d{4}|\d\d[/.-]\d\d([/.-]\d{4})?|\d{1,2}(st|nd|rd|th)",
    "times": r"\d{1,2}(:\d\d)?(am|pm|AM|PM)?",
    "web": r"(www\.)?[a-zA-Z]+(@[a-z]+)?(\.[a-zA-Z]+)+",
    "plates": r"#?[A-Z0-9]+(-\d+)?",
    "random": r"[A-Za-z0-9]{1,8}",
    "punctuated": r"\W?[a-z]+(-[a-z]+|'s)?\W?",
}


def drawn(vocabulary, count=400):
    return [vocabulary.draw(Draws(key)) for key in range(count)]


@pytest.fixture
def lists(tmp_path):
    (tmp_path / "common.txt").write_text("Haus\nof\nelephantine\nof\n")
    (tmp_path / "rare.txt").write_text("xyst\n")
    return tmp_path


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_pattern_has_its_shape(pattern):
    for word in drawn(Vocabulary({pattern: 1}, AS_IS)):
        assert re.fullmatch(SHAPES[pattern], word), word


def test_sources_are_drawn_by_weight(lists):
    words = drawn(Vocabulary({str(lists / "common.txt"): 3, str(lists / "rare.txt"): 1, "numbers": 0}, AS_IS))
    assert 60 < words.count("xyst") < 140 and set(words) == {"xyst", "Haus", "of", "elephantine"}


def test_brevity_prefers_short_words(lists):
    even, short = (
        Counter(drawn(Vocabulary({str(lists / "common.txt"): 1}, AS_IS, brevity=brevity))) for brevity in (1, 0.7)
    )
    assert 90 < even["elephantine"] < 180 and short["elephantine"] < 20 < even["of"] < short["of"]


def test_case_has_its_shares(lists):
    words = Counter(drawn(Vocabulary({str(lists / "rare.txt"): 1}, {"upper": 2, "title": 1, "lower": 1})))
    assert set(words) == {"XYST", "Xyst", "xyst"} and 150 < words["XYST"] < 250
    assert "Haus" in drawn(Vocabulary({str(lists / "common.txt"): 1}, AS_IS), 20)


def test_only_symbols_are_drawn(lists, tmp_path):
    for word in drawn(
        Vocabulary({str(lists / "common.txt"): 1, "numbers": 1, "web": 1}, {"upper": 1}, symbols="OF0123456789")
    ):
        assert set(word) <= set("OF0123456789")
    (tmp_path / "chinese.txt").write_text("文字\n世界\n", encoding="utf-8")
    words = drawn(Vocabulary({str(tmp_path / "chinese.txt"): 1, "random": 1}, AS_IS, symbols="文字世"))
    assert "文字" in words and "世界" not in words and all(set(word) <= set("文字世") for word in words)


def test_digests_tell_words_apart_and_not_places(lists, tmp_path):
    (tmp_path / "again.txt").write_text("xyst\n")
    same = [Vocabulary({str(file): 1}, AS_IS).digest() for file in (lists / "rare.txt", tmp_path / "again.txt")]
    assert same[0] == same[1] != Vocabulary({str(lists / "common.txt"): 1}, AS_IS).digest()


def test_words_that_cannot_be_had_are_refused(lists, tmp_path):
    with pytest.raises(InputError, match=r"rare.txt holds no word .* made of the symbols '12'"):
        Vocabulary({str(lists / "rare.txt"): 1}, AS_IS, symbols="12")
    with pytest.raises(InputError, match="no word .* could be drawn in 2000 tries with the symbols 'äö'"):
        Vocabulary({"numbers": 1}, AS_IS, symbols="äö").draw(Draws(0))
    with pytest.raises(InputError, match="no source of words a weight above 0"):
        Vocabulary({"numbers": 0}, AS_IS)
    (tmp_path / "latin.txt").write_bytes("Köln".encode("latin-1"))
    with pytest.raises(InputError, match="latin.txt is not UTF-8"):
        Vocabulary({str(tmp_path / "latin.txt"): 1}, AS_IS)
