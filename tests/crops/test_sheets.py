"""A contact sheet shows every picture at its place, whole, in its own aspect ratio, with its caption beside it."""

import numpy as np

from lmim_kedro.crops.sheets import draw_sheet


def flat(shade, height=16, width=64):
    return np.full((height, width, 3), shade, np.uint8)


def test_entries_fill_the_columns_row_by_row():
    sheet = draw_sheet([([flat(shade)], "") for shade in (10, 20, 30)], columns=2, size=(40, 10))
    assert [[int(sheet[top, left, 0]) for left in (26, 72)] for top in (11, 27)] == [[10, 20], [30, 255]]


def test_a_picture_keeps_its_aspect_ratio_in_the_middle_of_its_place():
    (rows, columns) = ((draw_sheet([([flat(0, 20, 10)], "")], size=(40, 10)) == 0).all(2)).nonzero()
    assert (rows.min(), rows.max() + 1) == (6, 16)
    assert (columns.min(), columns.max() + 1) == (6 + 17, 6 + 22)


def test_a_caption_stands_right_of_its_pictures():
    sheet = draw_sheet([([flat(200)], "WORD")], size=(40, 10), caption=60)
    assert sheet[:, :52].min() == 200 and sheet[:, 52:].min() < 100


def test_nothing_to_draw_is_a_white_sheet():
    assert draw_sheet([]).min() == 255
