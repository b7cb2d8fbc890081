"""Faces: where they are found, what they can write."""

import shutil

import numpy as np
import pytest

from lmim_kedro.crops.rendering.draws import Draws
from lmim_kedro.crops.rendering.fonts import UNASSIGNED, Fonts, glyph, writes
from lmim_kedro.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for file in Fonts().files[:3]:
        shutil.copy(file, tmp_path)
    (tmp_path / "OFL.txt").write_text("not a font")
    return tmp_path


def test_fonts_are_found_in_folders_by_globs_and_by_name(folder):
    assert len(Fonts({str(folder): 1})) == 3
    [bold] = Fonts({f"{folder}/*-Bold.ttf": 1}).files
    assert Fonts({str(bold): 1}).files == [bold]


def test_every_face_is_drawn_by_the_weight_of_its_place(folder):
    [one, *rest] = sorted(folder.glob("*.ttf"))
    fonts = Fonts({str(one): 3, str(rest[0]): 1, str(rest[1]): 0})
    drawn = [fonts.draw("a", Draws(key)) for key in range(400)]
    assert 260 < drawn.count(one) < 340 and drawn.count(rest[1]) == 0


def test_the_digest_tells_fonts_and_weights_apart_and_not_places(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "fonts"
    shutil.copytree(folder, elsewhere)
    assert Fonts({str(folder): 1}).digest() == Fonts({str(elsewhere): 1}).digest()
    [first, second, *_] = sorted(map(str, folder.glob("*.ttf")))
    digests = {Fonts({first: a, second: b}).digest() for a, b in ((1, 1), (1, 2))} | {Fonts({first: 1}).digest()}
    assert len(digests) == 3


def test_a_face_without_a_character_is_not_used_for_it(sans):
    math = next(file for file in Fonts().files if file.stem == "cmr10")
    assert writes(sans, "Жук") and not writes(math, "Жук")
    assert not writes(sans, "Ж" + UNASSIGNED) and not writes(sans, "文")
    assert {Fonts().draw("Жук", Draws(key)) for key in range(50)} <= {
        file for file in Fonts().files if writes(file, "Жук")
    }


def test_what_is_drawn_has_ink_and_is_not_the_sign_for_a_missing_character():
    for key in range(60):
        file = Fonts().draw("Weiß&Söhne", Draws(key))
        missing = glyph(file, UNASSIGNED).ink
        for character in "Weiß&Söhne":
            ink = glyph(file, character).ink
            assert ink.any() and not np.array_equal(ink, missing)


def test_a_text_that_no_face_has_is_refused():
    with pytest.raises(InputError, match="none of the 15 fonts has all characters of '文字': give fonts"):
        Fonts().draw("文字", Draws(0))


def test_a_rare_character_is_found_in_the_one_face_that_has_it(folder, sans):
    fonts = Fonts({str(next(file for file in Fonts().files if file.stem == "cmr10")): 1e6, str(sans): 1e-6})
    assert fonts.draw("Ж", Draws(0)) == sans


def test_a_file_that_is_no_font_is_refused(tmp_path):
    (tmp_path / "broken.ttf").write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"broken.ttf cannot be read as a font .*: take it out of `fonts`"):
        Fonts({str(tmp_path): 1})
    with pytest.raises(InputError, match="fonts gives no place a weight above 0"):
        Fonts({str(tmp_path): 0})
