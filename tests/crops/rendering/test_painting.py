"""Colors of letters and grounds."""

import cv2
import numpy as np
import pytest

from lmim_kedro.crops.rendering.draws import Draws
from lmim_kedro.crops.rendering.lettering import Framed
from lmim_kedro.crops.rendering.painting import LUMA, Inks, draw_inks, paint, paint_ground, write

GRAY, WHITE, RED = (np.array(color, np.float32) for color in ([100] * 3, [250] * 3, [250, 20, 20]))
INKS = Inks(GRAY, WHITE, RED, 150.0)
SQUARE = np.zeros((40, 60), np.uint8)
SQUARE[12:28, 20:40] = 255
INSIDE, RING = SQUARE > 0, (cv2.dilate(SQUARE, np.ones((5, 5), np.uint8)) > 0) & (SQUARE == 0)
FAR = cv2.dilate(SQUARE, np.ones((21, 21), np.uint8)) == 0


def written(style, key=0, inks=INKS, mix=None):
    """(3, h, w): a square in white on gray."""
    picture = np.broadcast_to(inks.ground[:, None, None], (3, *SQUARE.shape)).copy()
    return write(picture, SQUARE, np.zeros_like(SQUARE) if mix is None else mix, 18.0, inks, Draws(key), style)


def ground(style, key=0, photo=None):
    return paint_ground((40, 120), 24.0, INKS, Draws(key), style, photo)


def test_plain_letters_have_the_ink_and_nothing_about_them(plain):
    picture = written(plain())
    assert np.allclose(picture[:, INSIDE].T, WHITE) and np.allclose(picture[:, ~INSIDE].T, GRAY)


def test_inks_differ_by_the_contrast_in_both_directions(plain):
    ways = set()
    for key in range(200):
        inks = draw_inks(Draws(key), plain(contrast=(100, 100), colorful=0.5, colored_ground=0.5))
        differences = [float((ink - inks.ground) @ LUMA) for ink in (inks.first, inks.second)]
        assert differences[0] * differences[1] > 0
        assert abs(differences[0]) == pytest.approx(inks.contrast, abs=1.5) and inks.contrast == pytest.approx(100)
        assert all(color.min() >= -0.5 and color.max() <= 255.5 for color in (inks.ground, inks.first, inks.second))
        ways.add(differences[0] > 0)
    assert ways == {True, False}


def test_gray_styles_have_hardly_any_hue_and_colored_ones_do(plain):
    def hue(share):
        return np.mean([np.ptp(draw_inks(Draws(key), plain(colorful=share)).first) for key in range(60)])

    assert hue(0) < 15 < 30 < hue(1)


def test_an_outline_surrounds_letters_of_the_same_ink(plain):
    pictures = [written(plain(outline=1, outline_width=(0.15, 0.15)), key) for key in range(10)]
    assert all(
        np.allclose(picture[:, INSIDE].T, WHITE) and np.allclose(picture[:, FAR].T, GRAY) for picture in pictures
    )
    differences = [np.abs(picture[:, RING].mean(1) - GRAY).max() for picture in pictures]
    assert sum(difference > 20 for difference in differences) >= 6


def test_hollow_letters_are_nothing_but_their_outline(plain):
    picture = written(plain(outline=1, hollow=1, outline_width=(0.15, 0.15)))
    assert np.allclose(picture[:, INSIDE].T, GRAY)
    assert picture[:, RING].mean() > GRAY.mean() + 100


def test_a_shadow_lies_on_one_side(plain):
    picture = written(plain(shadow=1, shadow_offset=(0.2, 0.2)))
    assert np.abs(picture[:, RING] - GRAY[:, None]).max() > 30
    assert np.allclose(picture[:, INSIDE].T, WHITE) and np.allclose(picture[:, FAR].T, GRAY, atol=1)
    touched = np.abs(picture - GRAY[:, None, None]).max(0) > 15
    sides = [
        (touched & RING)[rows, columns].mean() for rows, columns in ((np.s_[:14], np.s_[:]), (np.s_[26:], np.s_[:]))
    ]
    assert abs(sides[0] - sides[1]) > 0.01 or touched[:, :22].sum() != touched[:, 38:].sum()


def test_depth_is_a_darker_ink_beside_the_letters(plain):
    picture = written(plain(extrusion=1, extrusion_depth=(0.3, 0.3)))
    beside = picture[:, ~INSIDE]
    moved = np.abs(beside - GRAY[:, None]).max(0) > 5
    assert moved.sum() > 40 and np.allclose(picture[:, INSIDE].T, WHITE)
    assert (beside[:, moved].mean(0) < 0.8 * WHITE.mean()).all()


def test_the_lit_side_of_dark_letters_is_brighter_than_they_are(plain):
    dark = Inks(GRAY, np.float32([20, 20, 20]), GRAY, 80.0)
    pictures = [written(plain(extrusion=1, extrusion_depth=(0.3, 0.3)), key, dark) for key in range(20)]
    sides = [picture[:, ~INSIDE][0] for picture in pictures]
    assert any((side > 110).sum() > 15 for side in sides) and any((side < 15).sum() > 15 for side in sides)


def test_a_rim_is_inside_the_letters(plain):
    core = cv2.erode(SQUARE, np.ones((7, 7), np.uint8)) > 0
    dark = Inks(GRAY, np.float32([40, 40, 40]), GRAY, 60.0)
    for key in range(10):
        picture = written(plain(rim=1), key, dark)
        assert np.allclose(picture[:, core].T, 40) and np.allclose(picture[:, ~INSIDE].T, GRAY)
        assert np.abs(picture[0, INSIDE & ~core] - 40).max() > 8


def framed(height=20.0, *, two_grounds=False, **channels):
    """The square in a frame, with masks for MIX, OTHERS and PLATE."""
    masks = [SQUARE, *(channels.get(name, np.zeros_like(SQUARE)) for name in ("mix", "others", "plate"))]
    return Framed(cv2.merge(masks), height, two_grounds)


def luma(picture):
    return np.tensordot(LUMA, picture, 1)


def test_backlit_letters_shine_on_a_dark_ground(plain):
    pictures = [luma(paint(framed(), Draws(key), plain(backlit=1))) for key in range(10)]
    assert all(picture[FAR].mean() < 97 and picture[20, 30] > 200 for picture in pictures)
    halos = [picture[RING].mean() - picture[FAR].mean() for picture in pictures]
    assert min(halos) > 3 and max(halos) > 40


def test_leds_are_lamps_of_one_color_on_a_dark_ground(plain):
    for key in range(10):
        picture = luma(paint(framed(), Draws(key), plain(dotted=1, led=1)))
        assert picture[FAR].max() < 50 and picture[INSIDE].max() > 80


def test_a_line_crosses_the_letters_from_edge_to_edge(plain):
    pictures = [[paint(framed(), Draws(key), plain(crossed=crossed)) for crossed in (0, 1)] for key in range(12)]
    changed = np.array([np.abs(crossed - whole).max(0) > 5 for whole, crossed in pictures])
    assert changed.any((1, 2)).mean() > 0.8 and changed[:, INSIDE].any(1).sum() >= 2
    assert changed.mean((1, 2)).max() < 0.15 and changed.any(1).mean() > 0.5


def test_beyond_its_plate_the_ground_has_another_color(plain):
    plate = np.zeros_like(SQUARE)
    plate[8:32, 14:46] = 255
    differences = []
    for key in range(10):
        picture = paint(framed(plate=plate), Draws(key), plain(plate=1))
        around = cv2.erode(plate, np.ones((3, 3), np.uint8)) > 0
        outside = cv2.dilate(plate, np.ones((3, 3), np.uint8)) == 0
        assert np.ptp(picture[:, around & ~INSIDE], axis=1).max() < 0.1 > np.ptp(picture[:, outside], axis=1).max()
        differences.append(np.abs(picture[:, 10, 16] - picture[:, 0, 0]).max())
    assert np.median(differences) > 30


def test_both_parts_of_a_word_differ_from_their_own_ground(plain):
    mix = np.zeros_like(SQUARE)
    mix[:, 30:] = 255
    grounds = []
    for key in range(20):
        picture = paint(framed(mix=mix, two_grounds=True), Draws(key), plain(contrast=(100, 100)))
        lumas = luma(picture)
        for letters, ground in ((lumas[20, 25], lumas[20, 5]), (lumas[20, 35], lumas[20, 55])):
            assert abs(letters - ground) == pytest.approx(100, abs=2)
        grounds.append(np.abs(picture[:, 20, 5] - picture[:, 20, 55]).max())
    assert np.median(grounds) > 30


def test_a_glow_is_brightest_beside_the_letters(plain):
    for key in range(5):
        picture = written(plain(glow=1), key).mean(0)
        assert picture[RING].mean() > GRAY.mean() + 8 > picture[FAR].mean() + 4


def test_relief_has_a_lit_and_a_dark_edge(plain):
    picture = written(plain(relief=1))
    assert picture[:, RING | INSIDE].max() > 260 and (picture[:, RING] - GRAY[:, None]).min() < -10


def test_worn_letters_miss_paint(plain):
    inside = written(plain(worn=1), key=3)[0, INSIDE]
    assert inside.min() < WHITE[0] - 20 and inside.max() > WHITE[0] - 1


def test_letters_in_two_inks_have_both(plain):
    mix = np.zeros_like(SQUARE)
    mix[:, 30:] = 255
    picture = written(plain(), mix=mix)
    assert np.allclose(picture[:, 20, 22], WHITE) and np.allclose(picture[:, 20, 38], RED)


def test_dotted_letters_are_dots_on_the_ground(plain):
    word = Framed(cv2.merge([cv2.resize(SQUARE, (120, 80)), *np.zeros((3, 80, 120), np.uint8)]), 80.0)
    solid, dotted = (paint(word, Draws(2), plain(dotted=dots))[0, 30:50, 50:70] for dots in (0, 1))
    assert solid.std() < 1 < 10 < dotted.std()


def test_a_plain_ground_has_one_color(plain):
    assert (ground(plain()) == GRAY[:, None, None]).all()


def test_a_gradient_goes_from_one_end_to_the_other(plain):
    picture = ground(plain(gradient=1, gradient_strength=(0.4, 0.4)))[1]
    assert 35 < np.ptp(picture) < 90 and abs(picture.mean() - 100) < 2


def test_texture_is_as_strong_as_its_share_of_the_contrast(plain):
    for strength in (0.05, 0.3):
        found = [ground(plain(texture=1, texture_strength=(strength, strength)), key).std() for key in range(24)]
        assert 0.3 * strength * 150 < np.mean(found) < strength * 150


def test_a_panel_covers_an_edge_and_not_the_middle(plain):
    for key in range(12):
        changed = np.abs(ground(plain(panel=1), key) - GRAY[:, None, None]).max(0) > 1
        assert not changed[10:30, 20:100].any()
    assert any((np.abs(ground(plain(panel=1), key) - GRAY[:, None, None]).max(0) > 1).any() for key in range(12))


def test_clutter_stays_below_the_contrast(plain):
    found = [np.abs(ground(plain(clutter=1), key) - GRAY[:, None, None]).max() for key in range(20)]
    assert max(found) > 10 and max(found) < 0.65 * 150


def test_a_photograph_becomes_a_ground_that_cannot_be_read(plain):
    photo = np.zeros((40, 120, 3), np.uint8)
    photo[:, ::8] = 255
    photo[:, 60:] //= 2
    picture = ground(plain(), photo=photo)
    assert picture.std() > 3
    assert np.abs(np.diff(picture, axis=2)).max() < 8
    assert np.allclose(picture.mean((1, 2)), GRAY, atol=3)


def test_other_words_are_painted_too(plain):
    masks = np.zeros((40, 60, 4), np.uint8)
    masks[:5, :, 2] = 255
    picture = paint(Framed(masks, 20.0), Draws(0), plain())
    assert np.abs(picture[:, 2].mean(1) - picture[:, 20].mean(1)).max() > 20
