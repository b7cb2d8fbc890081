"""Light and camera."""

import cv2
import numpy as np
import pytest

from lmim_kedro.crops.pixels import decode
from lmim_kedro.crops.rendering.camera import LEAST_DEVIATION, encode, light, photograph
from lmim_kedro.crops.rendering.draws import Draws

FLAT = np.full((3, 40, 120), 160, np.float32)
EDGE = np.full((3, 40, 120), 60, np.float32)
EDGE[:, 10:30, 40:80] = 200


def seen(style, picture=EDGE, key=0):
    return photograph(picture, 32.0, Draws(key), style).astype(np.float32)


def steepest(picture):
    return np.abs(np.diff(picture[20, :, 0])).max()


def lit(style, key=0):
    return light(FLAT, Draws(key), style)


def test_a_plain_style_leaves_the_picture(plain):
    assert (lit(plain()) == FLAT).all()
    assert (seen(plain()) == EDGE.transpose(1, 2, 0)).all()


def test_a_ramp_takes_light_from_one_side(plain):
    picture = lit(plain(ramp=1, ramp_strength=(0.4, 0.4)))[0]
    assert np.ptp(picture) > 40 and np.abs(np.diff(picture, axis=1)).max() < 4 and picture.max() <= 175


def test_a_spot_is_brighter_than_the_rest(plain):
    picture = max((lit(plain(spot=1), key)[0] for key in range(5)), key=np.ptp)
    assert picture.min() >= 159 and np.ptp(picture) > 25


def test_the_edge_of_a_shadow_leaves_one_side_darker(plain):
    picture = max((lit(plain(shade_edge=1), key)[0] for key in range(6)), key=np.ptp)
    assert picture.max() == pytest.approx(160, abs=1) and picture.min() < 125


def test_signs_in_the_dark_are_dark(plain):
    dark = light(EDGE, Draws(0), plain(dark=1, darkness=(0.3, 0.3)))
    assert dark[1].mean() == pytest.approx(0.3 * EDGE.mean(), abs=1)


def test_letters_in_the_dark_stay_apart_from_the_ground(plain):
    faint = 100 + (EDGE - 60) / 4
    dark = light(faint, Draws(0), plain(dark=1, darkness=(0.05, 0.05)))
    assert dark[1].std() == pytest.approx(LEAST_DEVIATION, abs=0.1) and dark.mean() < faint.mean()
    assert (light(FLAT, Draws(0), plain(dark=1, darkness=(0.05, 0.05)))[1] == FLAT[1]).all()


@pytest.mark.parametrize(
    "effects",
    [
        {"blur": (0.08, 0.08)},
        {"defocus": 1, "defocus_radius": (0.12, 0.12)},
        {"coarse": 1, "coarse_height": (8, 8)},
        {"motion": 1, "motion_length": (0.4, 0.4)},
    ],
)
def test_blurs_soften_edges_and_keep_brightness(plain, effects):
    pictures = [seen(plain(**effects), key=key) for key in range(6)]
    assert min(map(steepest, pictures)) < 0.6 * 140
    assert all(picture.mean() == pytest.approx(EDGE.mean(), abs=4) for picture in pictures)


def test_a_coarse_picture_may_have_been_saved_before_it_grew(plain):
    coarse = plain(coarse=1, coarse_height=(12, 12))
    saved = [plain(coarse=1, coarse_height=(12, 12), recompressed=1, coarse_quality=(q, q)) for q in (10, 98)]
    bad, good = (np.abs(seen(style, key=3) - seen(coarse, key=3)).mean() for style in saved)
    assert bad > 4 > 2 > good > 0
    assert seen(saved[1], np.stack([EDGE[0], EDGE[1], 0 * EDGE[2]]), key=3)[..., 2].mean() < 10  # blue stays blue


def test_a_second_blur_makes_the_first_weaker(plain):
    alone, both = plain(blur=(0.1, 0.1)), plain(blur=(0.1, 0.1), motion=1, motion_length=(0, 0))
    assert steepest(seen(both)) > 1.5 * steepest(seen(alone))


def test_motion_has_a_direction(plain):
    def ratio(key):
        picture = seen(plain(motion=1, motion_length=(0.4, 0.4)), key=key)[..., 0]
        return np.abs(np.diff(picture[20])).max() / np.abs(np.diff(picture[:, 60])).max()

    found = [ratio(key) for key in range(12)]
    assert max(found) > 1.6 and min(found) < 0.6


def test_sharpening_overshoots_at_edges(plain):
    picture = seen(plain(sharpened=1))
    assert picture.max() > 205 and picture.min() < 55


def test_noise_has_the_deviation_asked_for(plain):
    for deviation in (3, 12):
        noisy = seen(plain(noise=(deviation, deviation)), FLAT)
        assert noisy.std() == pytest.approx(deviation, rel=0.1)


def test_jpeg_of_a_lower_quality_is_smaller_and_still_the_picture(plain):
    picture = cv2.GaussianBlur(Draws(0).noise(40, 120), (0, 0), 2)[..., None].repeat(3, 2) * 200 + 128
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    low, high = (encode(picture, Draws(0), plain(quality=(quality, quality))) for quality in (30, 95))
    assert len(low) < len(high) / 2
    assert np.abs(decode(high).astype(float) - picture).mean() < 3
