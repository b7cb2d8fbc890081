"""Rendered words as a source: splits, options, identity."""

import pickle

import pytest

from lmim_kedro.crops.pixels import decode
from lmim_kedro.crops.rendering.draws import Draws
from lmim_kedro.crops.sources.rendered import RenderedWords
from lmim_kedro.errors import InputError


def words(split: str, count: int = 1500, seed: int = 0) -> list[str]:
    source = RenderedWords(count, seed, split)
    return [source._renderer.vocabulary.draw(Draws(seed, number), source._in_split) for number in range(count)]


def test_no_held_out_word_occurs_in_the_other_splits_whatever_its_case():
    held_out = {word.lower() for word in words("heldout")}
    for split in ("pretraining", "finetuning"):
        for seed in range(3):
            assert not held_out & {word.lower() for word in words(split, seed=seed)}


def test_a_crop_is_a_function_of_seed_split_and_number():
    source = RenderedWords(10, 1, "finetuning")
    [crop] = pickle.loads(pickle.dumps(source)).read(7, 8)
    assert (crop.label, crop.data) == source.render(7)
    assert source.render(7) != RenderedWords(10, 2, "finetuning").render(7)
    assert source.render(7) != source.render(8)


def test_only_the_pretraining_split_is_unlabeled():
    assert not RenderedWords(3, split="pretraining").labeled
    assert [crop.label for crop in RenderedWords(3, split="pretraining").read(0, 3)] == [None] * 3
    labels = [crop.label for crop in RenderedWords(30, split="heldout").read(0, 30)]
    assert all(label and label.isalnum() and label.isascii() for label in labels)


def test_crops_are_images_with_text_that_stands_out():
    for crop in RenderedWords(40, split="finetuning", styles={"easy": {}}).read(0, 40):
        pixels = decode(crop.data)
        assert 8 < pixels.shape[0] < 200 and 4 < pixels.shape[1] < 800
        assert pixels.astype(float).std() > 8


def test_the_identity_tells_settings_apart():
    plain, harder = RenderedWords(3), RenderedWords(3, styles={"easy": {"share": 0.5}, "hard": {"rotation": 20.0}})
    assert plain.identity == RenderedWords(3).identity != harder.identity


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"split": "test"}, "come as pretraining, finetuning, heldout"),
        ({"words": 0}, "at least one"),
        (
            {"styles": {"easy": {"blurr": 1}}},
            r"`styles.easy.blurr` is not a field of a style \(did you mean `blur`\?\)",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        RenderedWords(**{"words": 3, **settings})
