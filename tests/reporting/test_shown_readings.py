from __future__ import annotations

import base64
import io
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image, JpegImagePlugin

from lmim_kedro.reporting.images import attention_picture, picture, thumbnail
from lmim_kedro.reporting.shown_readings import Span, choose_readings, mark_differences


def marked(spans: list[Span]) -> str:
    """Differing characters in [], ignored ones in ()."""
    signs = {"same": ("", ""), "differs": ("[", "]"), "ignored": ("(", ")")}
    return "".join(signs[span.kind][0] + span.text + signs[span.kind][1] for span in spans)


@pytest.mark.parametrize(
    ("prediction", "label", "metric", "read", "wanted"),
    [
        ("hcllo", "HELLO", "waics", "h[c]llo", "H[E]LLO"),
        ("helo", "hello", "waics", "helo", "he[l]lo"),
        ("heello", "hello", "waics", "he[e]llo", "hello"),
        ("its", "It's", "waics", "its", "It(')s"),
        ("itss", "It's", "waics", "it[s]s", "It(')s"),
        ("", "ab", "waics", "", "[ab]"),
        ("Ab-", "ab", "exact", "[A]b[-]", "[a]b"),
        ("Ab-", "ab", "case_sensitive", "[A]b(-)", "[a]b"),
        ("\u6b22\uff0c", "\u6b61,", "chinese", "\u6b22\uff0c", "\u6b61,"),
    ],
)
def test_differences_are_those_that_the_metric_counts(
    prediction: str, label: str, metric: str, read: str, wanted: str
) -> None:
    ours, theirs = map(marked, mark_differences(prediction, label, metric))
    if prediction == "itss":  # either s may be the one too many
        assert ours in ("it[s]s", "its[s]")
    elif prediction in ("helo", "heello"):
        assert ours.replace("[", "").replace("]", "") == prediction and ours.count("[") + theirs.count("[") == 1
    else:
        assert (ours, theirs) == (read, wanted)
    assert theirs.translate(str.maketrans("", "", "[]()")) == label


def test_right_and_wrong_readings_are_told_apart_and_drawn_from_every_benchmark(
    predictions: pd.DataFrame, crops: Any
) -> None:
    shown = choose_readings(predictions, crops, "waics", right=6, wrong=6, surest=3)
    assert [len(part) for part in (shown.right, shown.wrong, shown.surest_mistakes)] == [6, 6, 3]
    for part in (shown.right, shown.wrong):
        assert [reading.benchmark for reading in part].count("svt") == 3
    assert not any(span.kind == "differs" for reading in shown.right for span in reading.prediction)
    for reading in shown.wrong + shown.surest_mistakes:
        assert any(span.kind == "differs" for span in reading.prediction + reading.label)
    assert crops.fetched == 15  # and no crop that is not shown


def test_surest_mistakes_are_the_most_confident_ones_and_are_not_shown_twice(
    predictions: pd.DataFrame, crops: Any
) -> None:
    shown = choose_readings(predictions, crops, "waics", wrong=100, surest=4)
    confidences = [reading.confidence for reading in shown.surest_mistakes]
    assert confidences == sorted(confidences, reverse=True)
    assert min(confidences) >= max(reading.confidence for reading in shown.wrong)
    keys = [reading.key for reading in shown.wrong + shown.surest_mistakes]
    assert len(keys) == len(set(keys))


def test_choice_is_the_same_every_time(predictions: pd.DataFrame, crops: Any) -> None:
    assert choose_readings(predictions, crops, "waics") == choose_readings(predictions, crops, "waics")


def test_readings_without_confidence_and_with_any_index_are_shown(predictions: pd.DataFrame, crops: Any) -> None:
    odd = predictions.drop(columns=["confidence", "key"]).set_index(pd.Index(["same"] * len(predictions)))
    shown = choose_readings(odd, crops, "waics", right=2, wrong=3)
    assert (len(shown.right), len(shown.wrong), shown.surest_mistakes) == (2, 3, [])
    assert shown.wrong[0].confidence is None


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


@pytest.mark.parametrize(("size", "shown"), [((1200, 100), (320, 27)), ((30, 20), (30, 20)), ((2, 900), (1, 64))])
def test_thumbnail_keeps_the_aspect_ratio_and_is_never_larger_than_the_crop(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    file = io.BytesIO()
    Image.new("CMYK", size).save(file, "TIFF")
    assert opened(thumbnail(file.getvalue())).size == shown


def test_attention_is_brightest_where_it_is_largest_and_the_query_is_boxed() -> None:
    crop, attention = np.full((3, 32, 128), 128, np.uint8), np.zeros((8, 32))
    attention[2, 20] = 0.3
    picture = np.asarray(attention_picture(crop, attention, (6, 4))).astype(int)
    looked, elsewhere = picture[2 * 12 + 6, 20 * 12 + 6], picture[60, 300]
    assert looked[1] > elsewhere[1] + 60  # yellow against purple
    red = (picture[..., 0] > 180) & (picture[..., 1] < 80)
    rows, columns = np.nonzero(red)
    assert (rows.min() // 12, rows.max() // 12, columns.min() // 12, columns.max() // 12) == (6, 6, 4, 4)


def test_color_of_attention_is_its_share_of_the_largest() -> None:
    crop, attention = np.full((3, 32, 128), 100, np.uint8), np.full((8, 32), 0.15)
    attention[:, 16:] = 0.3
    shown = np.asarray(attention_picture(crop, attention, (0, 0))).astype(int)
    for column, share in ((150, 0.5), (300, 1.0)):
        color = np.array(matplotlib.colormaps["viridis"](share, bytes=True)[:3])
        assert np.abs(shown[60, column] - (0.4 * 100 + 0.6 * color)).max() <= 1


def test_box_around_the_query_is_red_on_white_and_lies_on_its_patch() -> None:
    crop, attention = np.zeros((3, 32, 128), np.uint8), np.ones((8, 32))
    shown = np.asarray(attention_picture(crop, attention, (2, 20))).tolist()
    top, left, size = 2 * 12, 20 * 12, 12  # picture pixels: 3 for each of the 4 by 4 of a patch
    red, white = [214, 39, 40], [255, 255, 255]
    inside = shown[top + size // 2][left + size // 2]
    for edge, step in ((left, 1), (left + size - 1, -1)):
        line = [shown[top + size // 2][edge + step * place] for place in range(-2, 4)]
        assert line == [inside, white, red, red, white, inside]
    for edge, step in ((top, 1), (top + size - 1, -1)):
        line = [shown[edge + step * place][left + size // 2] for place in range(-2, 4)]
        assert line == [inside, white, red, red, white, inside]


def test_pictures_keep_their_colors_and_drawings_every_pixel() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(opened(picture(noise, "png"))), noise)
    jpeg = opened(picture(noise))
    assert JpegImagePlugin.get_sampling(jpeg) == 0, "letters in color are blurred if color is stored at half the size"
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG", quality=88)
    assert jpeg.quantization == Image.open(file).quantization  # type: ignore[attr-defined]


def test_two_characters_in_a_row_that_differ_are_one_span() -> None:
    prediction, label = mark_differences("abxy", "abcd", "waics")
    assert prediction == [Span("ab", "same"), Span("xy", "differs")]
    assert label == [Span("ab", "same"), Span("cd", "differs")]


def test_shown_crop_is_named_and_right_or_wrong_by_its_own_row(predictions: pd.DataFrame, crops: Any) -> None:
    shown = choose_readings(predictions, crops, "waics", right=90, wrong=90, surest=5)
    rows = predictions.set_index("key")
    for part in (shown.right, shown.wrong, shown.surest_mistakes):
        for reading in part:
            row = rows.loc[reading.key]
            assert "".join(span.text for span in reading.label) == row["label"]
            assert "".join(span.text for span in reading.prediction) == row["prediction"]
            assert (reading.benchmark, reading.confidence) == (row["benchmark"], row["confidence"])
            assert reading.picture == thumbnail(crops.draw(row["label"], row["index"]))
    total = sum(map(len, (shown.right, shown.wrong, shown.surest_mistakes)))
    assert total == 90 - predictions["label"].isin(["--"]).sum(), "what cannot be scored is neither right nor wrong"
