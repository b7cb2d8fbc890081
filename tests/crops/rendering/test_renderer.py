"""Whole crops: the same wherever they are drawn, fast, and as the styles say."""

import hashlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from lmim_kedro.crops.pixels import decode
from lmim_kedro.crops.rendering.draws import Choice, Draws
from lmim_kedro.crops.rendering.style import EASY, HARD, Style, read_styles
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.errors import InputError

SLOWEST = 200


def digests(numbers, **options):
    source = RenderedWords(1000, seed=5, split="finetuning", **options)
    return [hashlib.blake2b(source.render(number)[1]).hexdigest() for number in numbers]


def test_a_crop_is_the_same_alone_in_any_order_and_in_another_process():
    numbers = list(range(40, 60))
    together = digests(numbers)
    assert len(set(together)) == len(numbers)
    assert digests(numbers[::-1])[::-1] == together
    assert [digests([number])[0] for number in numbers[:3]] == together[:3]
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(digests, numbers).result() == together


def test_the_hard_style_differs_more_from_a_clear_word_than_the_easy_one():
    def gray(style):
        crops = [decode(crop.data) for crop in RenderedWords(150, split="finetuning", styles={style: {}}).read(0, 150)]
        return np.mean([np.ptp(np.percentile(crop.mean(2), [2, 98])) for crop in crops])

    assert gray("easy") > 1.15 * gray("hard")


def test_every_effect_is_stronger_or_more_frequent_in_the_hard_style():
    for name, field in Style.model_fields.items():
        easy, hard = getattr(EASY, name), getattr(HARD, name)
        if field.annotation is float and name not in ("colorful", "hollow", "colored_ground"):
            assert hard > easy, name


def test_styles_are_drawn_by_their_shares():
    styles = Choice(read_styles({"easy": {"share": 3}, "mine": {"share": 1, "rotation": 40}}))
    drawn = [Draws(key).weighted(styles).rotation for key in range(400)]
    assert 60 < drawn.count(40) < 140 and set(drawn) == {EASY.rotation, 40}


@pytest.mark.parametrize(
    ("styles", "sentence"),
    [
        ({"easy": {"blur": -1}}, "`styles.easy.blur` is -1: Input should be a valid tuple"),
        ({"hard": {"arc": 1.5}}, "`styles.hard.arc` is 1.5: Input should be less than or equal to 1"),
        ({"easy": {"quality": ["low", 90]}}, "`styles.easy.quality.0` is 'low'"),
        ({"easy": 1}, "styles.easy is 1: give its share"),
        ("easy", "styles is 'easy': give the share"),
        ({"easy": {"share": "half"}}, "styles.easy.share is 'half'"),
    ],
)
def test_styles_that_cannot_be_are_refused(styles, sentence):
    with pytest.raises(InputError, match=sentence):
        read_styles(styles)


def test_grounds_are_drawn_from_crops_on_disk(tmp_path):
    crops = tmp_path / "crops"
    crops.mkdir()
    for number in range(3):
        (crops / f"{number}.jpg").write_bytes(RenderedWords(3).render(number)[1])
    (crops / "broken.png").write_bytes(b"\x89PNG")
    style = {"easy": {"photo": 1.0}}
    plain = RenderedWords(30, split="finetuning", styles=style)
    photos = RenderedWords(30, split="finetuning", styles=style, grounds={"street": {"path": str(crops)}})
    assert plain.identity != photos.identity
    assert [photos.render(number)[0] for number in range(30)] == [plain.render(number)[0] for number in range(30)]
    assert sum(photos.render(number) != plain.render(number) for number in range(30)) > 15


def test_a_ground_that_cannot_be_read_is_named_in_a_warning(tmp_path, caplog):
    (tmp_path / "broken.png").write_bytes(b"no image")
    style = {"easy": {"photo": 1.0}}
    words = RenderedWords(2, split="finetuning", styles=style, grounds={"street": {"path": str(tmp_path)}})
    word, data = words.render(0)
    assert word and decode(data).size
    assert "broken.png cannot be a ground of a rendered word" in caplog.text and "street" in caplog.text
