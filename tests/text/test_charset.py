"""Charsets: order, special symbols, and labels that cannot be learnt from."""

import pytest

from lmim_kedro.errors import InputError
from lmim_kedro.text.charset import Charset, check_labels


def test_the_english_charset_is_the_released_codes():
    charset = Charset.named("english_94")
    assert charset.characters.startswith("0123456789abc") and charset.characters.endswith("{|}~")
    assert (charset.end, charset.padding, charset.unknown, charset.classes) == (94, 95, 96, 97)


def test_the_chinese_charset_has_7937_classes():
    assert Charset.named("chinese_7934").classes == 7937


def test_a_word_survives_encoding_and_decoding():
    charset = Charset.named("english_94")
    assert charset.text(charset.indices("It's_42%")) == "It's_42%"


def test_a_charset_without_upper_case_lowers_labels():
    charset = Charset.named("english_36")
    assert charset.text(charset.indices("ABC1")) == "abc1"


def test_a_charset_file_is_read_and_its_faults_are_named(tmp_path):
    (tmp_path / "own.txt").write_text("äöü\nß", "utf-8")
    assert Charset.named(str(tmp_path / "own.txt")).characters == "äöüß"
    (tmp_path / "twice.txt").write_text("aba", "utf-8")
    with pytest.raises(InputError, match="more than once"):
        Charset.named(str(tmp_path / "twice.txt"))
    with pytest.raises(InputError, match="neither a built-in one"):
        Charset.named("english_95")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_charset_file_is_read_as_any_editor_saves_it(tmp_path, encoding, newline):
    (tmp_path / "own.txt").write_bytes(f"äöü{newline}ß{newline}".encode(encoding))
    assert Charset.named(str(tmp_path / "own.txt")).characters == "äöüß"


def test_a_charset_file_in_latin_1_is_refused_with_its_line(tmp_path):
    (tmp_path / "own.txt").write_bytes("ab\näöü".encode("latin-1"))
    with pytest.raises(InputError, match=r"own.txt is not UTF-8 \(byte 0xe4 in line 2\): save it as UTF-8"):
        Charset.named(str(tmp_path / "own.txt"))


def test_marks_that_nobody_sees_are_shown_by_their_code_point_and_never_learned():
    checked = check_labels(["ab\u200b", "b\u00a0a"], Charset("ab"), 24, columns=None)
    assert checked.sentence().endswith("2 characters outside the charset: U+200B U+00A0")
    assert Charset.from_labels(["a\u200bb\u200b", "\ufeffc\r\n"], longest=9).characters == "abc"


def test_a_label_of_24_characters_fits_25_steps():
    checked = check_labels(["x" * 24, "x" * 25, ""], Charset.named("english_94"), 24, columns=None)
    assert checked.usable.tolist() == [0]
    assert (checked.too_long, checked.empty) == (1, 1)


def test_ctc_needs_a_blank_column_between_equal_characters():
    labels = ["abcdefgh", "aabbccdd", "aabbcd", "aéabbcd", "AaBbcde"]
    checked = check_labels(labels, Charset.named("english_36"), 24, columns=8)
    assert checked.usable.tolist() == [0, 2, 3], "case is folded and unknown characters are left out before counting"
    assert checked.too_long == 2


def test_unknown_characters_are_counted_and_never_silently_lost():
    checked = check_labels(["né", "é"], Charset.named("english_36"), 24, columns=32)
    assert checked.unknown == {"é": 2}
    assert checked.usable.tolist() == [0] and checked.empty == 1
    assert "2 characters outside the charset: é" in checked.sentence()


def test_the_difference_between_charsets_is_a_sentence():
    here, there = Charset("abc"), Charset("abd")
    assert here.difference(here) == ""
    assert here.difference(there) == "3 characters here, 3 there; only there: d; only here: c"


def test_a_charset_from_labels_is_the_sorted_characters_of_those_that_can_be_learnt_from():
    charset = Charset.from_labels(["zoo", "Äpfel 1", "", "much too long: !"], longest=8)
    assert charset.characters == "".join(sorted(set("zooÄpfel 1")))
    assert charset.text(charset.indices("Äpfel zoo")) == "Äpfel zoo"


def test_what_was_found_in_labels_is_told_as_plain_values():
    checked = check_labels(["né", "é", "", "x" * 30], Charset.named("english_36"), 24, columns=None)
    assert checked.facts() == {"usable": 2, "empty": 1, "too_long": 1, "unknown": {"é": 2}}
