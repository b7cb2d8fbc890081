"""How words are set, bent and framed."""

import cv2
import numpy as np
import pytest

from lmim_kedro.crops.rendering.draws import Draws
from lmim_kedro.crops.rendering.lettering import LETTERS, MIX, OTHERS, PLATE, add_others, bend, frame, set_word


def ink(mask):
    """Left, top, right, bottom of what is on a mask."""
    x, y, width, height = cv2.boundingRect((mask > 40).astype(np.uint8))
    return x, y, x + width, y + height


def size(mask):
    left, top, right, bottom = ink(mask)
    return right - left, bottom - top


def set_in(sans, style, text="HIHIHIHI", key=0):
    return set_word(text, sans, Draws(key), style)


def framed(sans, style, text="HIHIHIHI", key=0):
    draws = Draws(key)
    return frame(bend(set_word(text, sans, draws, style), draws, style), draws, style).masks[..., LETTERS]


def tops(mask):
    """The first row with ink of the first, the middle and the last tenth of the columns with ink."""
    left, _, right, _ = ink(mask)
    places = np.linspace(left, right, 11).astype(int)
    columns = [mask[:, a:b] for a, b in zip(places, places[1:], strict=False)]
    return [int(np.argmax((columns[place] > 128).any(1))) for place in (0, 5, -1)]


def test_the_box_of_a_word_holds_its_ink_and_nothing_else(sans, plain):
    word = set_in(sans, plain(), "Hxg")
    assert ink(word.strip[..., LETTERS] * 255) == word.box
    assert not word.strip[..., MIX].any() and not word.strip[..., OTHERS].any()


def test_letters_are_as_high_as_asked(sans, plain):
    for height in (12, 40):
        assert size(framed(sans, plain(height=(height, height))))[1] == pytest.approx(height, abs=1)
    assert size(framed(sans, plain(small=1, small_height=(10, 10))))[1] == pytest.approx(10, abs=1)


def test_margins_are_shares_of_the_height(sans, plain):
    left, top, right, bottom = ink(mask := framed(sans, plain(loose=1, loose_margin=(0.5, 0.5))))
    for margin in (left, top, mask.shape[1] - right, mask.shape[0] - bottom):
        assert margin == pytest.approx(16, abs=1.5)
    tight = framed(sans, plain(margin=(-0.1, -0.1)))
    assert tight.shape[0] == pytest.approx(32 * 0.8, abs=1)


def test_crops_cut_too_close_miss_parts_of_letters_on_some_sides(sans, plain):
    style = plain(tight=1, tight_margin=(-0.1, -0.1))
    whole, cut = framed(sans, plain()), [framed(sans, style, key=key) for key in range(16)]
    edges = np.array([[side.max() > 128 for side in (m[:, 0], m[0], m[:, -1], m[-1])] for m in cut])
    assert (edges.mean(0) > 0.1).all() and (edges.mean(0) < 0.9).all()
    assert min(mask.shape[0] for mask in cut) == pytest.approx(32 * 0.8, abs=1)
    assert max(mask.shape[1] for mask in cut) == whole.shape[1]


def test_a_narrow_word_is_never_cut_away(sans, plain):
    style, full = plain(tight=1, tight_margin=(-0.3, -0.3), margin=(-0.3, -0.3)), framed(sans, plain(), "I")
    narrow = framed(sans, style, "I")
    assert (narrow > 128).sum() > 0.45 * (full > 128).sum()


def test_other_words_show_in_a_crowded_crop(sans, plain):
    def shown(words, crowded):
        style = plain(crowded=crowded, margin=(0, 0), loose_margin=(0.8, 0.8))
        word = add_others(set_in(sans, style), words, sans, Draws(0), style)
        return frame(word, Draws(0), style).masks

    others = ["over", "under", "beside"]
    assert shown(others, 1)[..., OTHERS].mean() > 10
    assert shown(others, 0)[..., OTHERS].mean() < 5
    assert shown([], 1).shape == shown([], 0).shape < shown(others, 1).shape


def test_spacing_sets_letters_apart(sans, plain):
    assert set_in(sans, plain(spaced=1, spacing=(0.5, 0.5))).box[2] > set_in(sans, plain()).box[2] * 1.3
    assert set_in(sans, plain(spaced=1, spacing=(-0.1, -0.1))).box[2] < set_in(sans, plain()).box[2]


def test_stretching_changes_the_width_alone(sans, plain):
    (narrow, low), (wide, high) = (size(framed(sans, plain(stretch=(by, by)))) for by in (0.8, 1.25))
    assert wide / narrow == pytest.approx(1.25 / 0.8, rel=0.05) and abs(high - low) <= 1


def test_small_capitals_are_lower_than_the_first_letter_and_stand_on_its_line(sans, plain):
    strip = set_in(sans, plain(small_caps=1), "Hhhh").strip[..., LETTERS]
    left, _, right, bottom = ink(strip)
    first, last = ink(strip[:, : left + 25]), ink(strip[:, right - 15 :])
    assert first[3] == last[3] == bottom
    assert (last[3] - last[1]) / (first[3] - first[1]) == pytest.approx(0.8, abs=0.05)


def test_bouncing_letters_leave_the_line(sans, plain):
    assert size(set_in(sans, plain(bouncing=1, bounce=(0.3, 0.3))).strip[..., LETTERS])[1] > 34


def test_an_arc_lifts_the_middle_or_lowers_it(sans, plain):
    arcs = [tops(framed(sans, plain(arc=1, arc_angle=(60, 60), height=(40, 40)), key=key)) for key in range(12)]
    up = [middle < min(first, last) - 4 for first, middle, last in arcs]
    down = [middle > max(first, last) + 4 for first, middle, last in arcs]
    assert all(a or b for a, b in zip(up, down, strict=True)) and any(up) and any(down)


def test_an_arc_of_a_wide_angle_is_nearly_a_circle(sans, plain):
    width, height = size(framed(sans, plain(arc=1, arc_angle=(250, 250)), "HIHIHIHIHIHIHI"))
    assert height > 0.6 * width


def test_an_arc_may_lie_beside_the_top_of_its_circle(sans, plain):
    def slopes(turn):
        found = (tops(framed(sans, plain(arc=1, arc_angle=(50, 50), arc_turn=turn), key=key)) for key in range(16))
        return [last - first for first, _, last in found]

    assert max(map(abs, slopes(0))) < 7 and min(slopes(80)) < -20 and max(slopes(80)) > 20


def test_what_stands_about_a_word_bends_with_it(sans, plain):
    style = plain(rule=1, border=1, arc=1, arc_angle=(90, 90))
    others = bend(add_others(set_in(sans, style), [], sans, Draws(1), style), Draws(1), style).strip[..., OTHERS]
    first, middle, last = tops(others)
    assert abs(first - last) < 0.5 * abs(middle - (first + last) / 2)


def test_a_wave_goes_up_and_down(sans, plain):
    straight, waved = (size(framed(sans, style)) for style in (plain(), plain(wave=1, wave_height=(0.3, 0.3))))
    assert waved[1] > straight[1] + 6


def test_a_bulge_changes_the_height_of_the_middle_against_the_ends(sans, plain):
    mask = framed(sans, plain(bulge=1, bulge_size=(0.5, 0.5)))
    left, _, right, _ = ink(mask)
    ends, middle = (
        size(mask[:, left : left + 10])[1],
        size(mask[:, (left + right) // 2 - 8 : (left + right) // 2 + 8])[1],
    )
    assert max(ends, middle) > 1.3 * min(ends, middle)


def test_rotation_and_shear_lean(sans, plain):
    flat = size(framed(sans, plain()))[1]
    assert max(size(framed(sans, plain(rotation=25), key=key))[1] for key in range(8)) > flat * 1.4
    sheared = max(size(framed(sans, plain(shear=0.9), "I", key=key))[0] for key in range(8))
    assert sheared > size(framed(sans, plain(), "I"))[0] * 2


def test_perspective_makes_one_end_smaller(sans, plain):
    def ends(key):
        mask = framed(sans, plain(perspective=0.5), key=key)
        left, _, right, _ = ink(mask)
        return size(mask[:, left : left + 8])[1] / size(mask[:, right - 8 : right])[1]

    assert max(max(found, 1 / found) for found in map(ends, range(8))) > 1.3


def test_a_sign_seen_from_the_side_is_narrower_and_one_end_is_smaller(sans, plain):
    straight = size(framed(sans, plain()))
    ways = set()
    for key in range(10):
        mask = framed(sans, plain(oblique=1, oblique_angle=(60, 60), oblique_tilt=0), key=key)
        left, _, right, _ = ink(mask)
        assert size(mask)[0] < 0.75 * straight[0]
        ends = size(mask[:, left : left + 6])[1], size(mask[:, right - 6 : right])[1]
        assert max(ends) > 1.2 * min(ends)
        ways.add(ends[0] > ends[1])
    assert ways == {True, False}


def test_a_sign_seen_from_the_side_and_below_slopes(sans, plain):
    def slopes(tilt):
        style = plain(oblique=1, oblique_angle=(50, 50), oblique_tilt=tilt)
        boxes = [(mask := framed(sans, style, key=key), ink(mask)) for key in range(16)]
        middles = [[np.mean(ink(mask[:, at : at + 6])[1::2]) for at in (box[0], box[2] - 6)] for mask, box in boxes]
        return [last - first for first, last in middles]

    assert max(map(abs, slopes(0))) < 3 and min(slopes(40)) < -10 and max(slopes(40)) > 10


@pytest.mark.parametrize("effect", ["stacked", "turned"])
def test_stacked_and_turned_words_are_taller_than_wide(sans, plain, effect):
    width, height = size(framed(sans, plain(**{effect: 1}), "HOTEL"))
    assert height > 2 * width


def test_two_inks_by_turns_or_across(sans, plain):
    for key in range(12):
        mix = set_in(sans, plain(shaded=1), key=key).strip[..., MIX]
        assert mix.min() < 60 and mix.max() > 190


def test_two_grounds_meet_between_two_letters_and_reach_the_edges_of_the_crop(sans, plain):
    for key in range(10):
        style = plain(two_grounds=1, spaced=1, spacing=(0.3, 0.3), loose=1, loose_margin=(1.5, 1.5))
        word = set_in(sans, style, key=key)
        mix, letters = word.strip[..., MIX], word.strip[..., LETTERS]
        assert word.two_grounds and (mix == mix[:1]).all()
        change = int(np.argmax(mix[0] > 0))
        assert word.box[0] < change < word.box[2] and not letters[:, change].any()
        masks = frame(word, Draws(key), style).masks
        assert (masks[:, 0, MIX] == 0).all() and (masks[:, -1, MIX] == 255).all()
        assert not masks[:, [0, -1], LETTERS].any()
    assert not set_in(sans, plain(two_grounds=1), "H").two_grounds


def test_a_plate_holds_the_letters_and_ends_beyond_them(sans, plain):
    corners = []
    for key in range(10):
        style = plain(plate=1)
        word = add_others(set_in(sans, style), [], sans, Draws(key), style)
        plate = word.strip[..., PLATE]
        assert (plate[word.strip[..., LETTERS] > 0] == 255).all()
        left, top, right, bottom = ink(plate)
        assert 0 < left < word.box[0] and word.box[3] < bottom < plate.shape[0]
        corners.append(plate[top, left])
    assert 0 in corners


def test_a_word_without_others_is_left_as_it_is(sans, plain):
    word = set_in(sans, plain())
    assert add_others(word, [], sans, Draws(0), plain()) is word


@pytest.mark.parametrize(("words", "effects"), [(["other", "words"], {}), ([], {"rule": 1}), ([], {"border": 1})])
def test_others_stand_beside_the_letters_and_do_not_touch_them(sans, plain, words, effects):
    for key in range(10):
        word = set_in(sans, plain())
        style = plain(**effects)
        found = add_others(word, words, sans, Draws(key), style)
        left, top, right, bottom = found.box
        assert found.strip[..., OTHERS].any()
        assert not found.strip[top:bottom, left:right, OTHERS].any()
        assert (
            found.strip[top:bottom, left:right, LETTERS]
            == word.strip[word.box[1] : word.box[3], word.box[0] : word.box[2], LETTERS]
        ).all()


def test_a_long_word_stays_within_bounds(sans, plain):
    width, height = size(framed(sans, plain(height=(100, 100)), "W" * 60))
    assert width <= 702 and height < 100
