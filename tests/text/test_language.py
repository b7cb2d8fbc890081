"""The language model: its probabilities, its file, and what it chooses."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lmim_kedro.errors import InputError
from lmim_kedro.reading.looks import read_likeliest
from lmim_kedro.text.charset import Charset
from lmim_kedro.text.language import BEGIN, CHARACTERS, END, KIND, LENGTH, LanguageModel, folded

WORDS = ["street"] * 3 + ["strong"] * 2 + ["a1", "a1", "tree"]


def spelled(word: str) -> list[int]:
    return [BEGIN] * (LENGTH - 1) + [CHARACTERS.index(each) + 1 for each in word] + [END]


def chance(symbol: int, context: tuple[int, ...], counts: Counter[tuple[int, ...]]) -> float:
    """p(symbol | context), mixed with shorter contexts as Witten and Bell do it."""
    lower = 1 / (len(CHARACTERS) + 1) if not context else None
    followed = [ngram for ngram in counts if ngram[:-1] == context]
    if lower is None:
        lower = chance(symbol, context[1:], counts)
    if not followed:
        return lower
    total, kinds = sum(counts[ngram] for ngram in followed), KIND * len(followed)
    return (counts[(*context, symbol)] + kinds * lower) / (total + kinds)


@pytest.fixture(scope="module")
def counts() -> Counter[tuple[int, ...]]:
    found: Counter[tuple[int, ...]] = Counter({(symbol,): 0 for symbol in range(1, END + 1) if symbol != BEGIN})
    for word in WORDS:
        symbols = spelled(word)
        for end in range(LENGTH, len(symbols) + 1):
            for start in range(end - LENGTH, end):
                found[tuple(symbols[start:end])] += 1
    return Counter({ngram: number for ngram, number in found.items() if len(ngram) < 4 or number > 1})


@pytest.mark.parametrize("text", ["street", "strong", "tree", "sting", "a1", "1a", "zz9", "", "S-T-R"])
def test_probability_of_a_text_is_that_of_its_symbols_mixed_over_contexts(counts, text):
    symbols = spelled(folded(text))
    expected = sum(
        math.log(chance(symbols[place], tuple(symbols[place - LENGTH + 1 : place]), counts))
        for place in range(LENGTH - 1, len(symbols))
    )
    (found,) = LanguageModel.of(WORDS).log_probabilities([text])
    assert found == pytest.approx(expected, abs=0.02)  # float16


def test_texts_are_scored_alike_alone_and_together():
    model, texts = LanguageModel.of(WORDS), ["street", "", "a1", "zebra"]
    together = model.log_probabilities(texts)
    assert together.tolist() == [model.log_probabilities([text])[0] for text in texts]


def test_a_saved_model_says_the_same(tmp_path: Path):
    model = LanguageModel.of(WORDS)
    model.save(tmp_path / "model.npz")
    again = LanguageModel.load(tmp_path / "model.npz")
    assert again.log_probabilities(WORDS).tolist() == model.log_probabilities(WORDS).tolist()


def test_a_file_that_is_no_model_is_refused(tmp_path: Path):
    (tmp_path / "model.npz").write_bytes(b"nothing of the kind")
    for path in (tmp_path / "model.npz", tmp_path / "absent.npz", tmp_path):
        with pytest.raises(InputError, match=r"is no language model .*name english, none, or a file"):
            LanguageModel.named(str(path))


@pytest.mark.parametrize(("right", "wrong"), [("street", "stneet"), ("stop", "st0p"), ("coffee", "cofiee")])
def test_english_prefers_words(right, wrong):
    better, worse = LanguageModel.named("english").log_probabilities([right, wrong])
    assert better > worse + 3


def columns_of(texts: Sequence[dict[str, float]]) -> np.ndarray:
    """Columns in which these characters have these probabilities, with a blank after each."""
    rows = []
    for column in texts:
        row, blank = np.zeros(len(CHARACTERS) + 1), np.zeros(len(CHARACTERS) + 1)
        for character, probability in column.items():
            row[CHARACTERS.index(character)] = probability
        row[-1], blank[-1] = 1 - row.sum(), 1
        rows += [row, blank]
    return np.array(rows)


def likeliest(*looks: Sequence[dict[str, float]]) -> str:
    """What is read in one crop whose looks show these columns."""
    shown = iter(looks)
    images = np.zeros((1, 3, 8, 8), np.uint8)
    english = LanguageModel.named("english")
    given = Charset(CHARACTERS), english, 8
    (reading,) = read_likeliest(lambda _: columns_of(next(shown))[None], images, len(looks), *given)
    return reading.text


UNSURE = [{"s": 0.9}, {"t": 0.9}, {"0": 0.6, "o": 0.3}, {"p": 0.9}]


def test_the_likelier_word_is_read_where_the_first_look_is_not_sure():
    assert likeliest(UNSURE) == "stop"


def test_a_sure_look_is_not_changed():
    assert likeliest([{"s": 0.99}, {"t": 0.99}, {"0": 0.97, "o": 0.03}, {"p": 0.99}]) == "st0p"


def test_a_text_that_is_sure_over_all_its_paths_is_not_changed():
    """Its best path alone has half of the probability: the 0 may end in either of two columns."""
    columns = columns_of([{"s": 0.99}, {"t": 0.99}, {"0": 0.97, "o": 0.03}, {"p": 0.99}])
    columns[5] = 0.0
    columns[5, [CHARACTERS.index("0"), CHARACTERS.index("o"), -1]] = 0.49, 0.01, 0.5
    given = Charset(CHARACTERS), LanguageModel.named("english"), 8
    (reading,) = read_likeliest(lambda _: columns[None], np.zeros((1, 3, 8, 8), np.uint8), 1, *given)
    assert reading.text == "st0p" and reading.confidence > 0.9


def test_a_longer_text_is_not_at_a_disadvantage():
    assert likeliest([{"s": 0.9}, {"t": 0.9}, {"o": 0.9}, {"p": 0.9}, {"s": 0.4}]) == "stops"


def test_numbers_stay_numbers():
    assert likeliest([{"1": 0.9}, {"9": 0.8, "g": 0.15}, {"5": 0.5, "s": 0.4}, {"0": 0.6, "o": 0.35}]) == "1950"


def test_further_looks_compete():
    shown = [{"s": 0.9}, {"t": 0.9}, {"e": 0.9}, {"p": 0.9}]
    assert likeliest(UNSURE, UNSURE, shown) == "step"


def test_readings_keep_the_confidence_of_the_recognizer():
    images, english = np.zeros((1, 3, 8, 8), np.uint8), LanguageModel.named("english")
    (reading,) = read_likeliest(lambda _: columns_of(UNSURE)[None], images, 1, Charset(CHARACTERS), english, 8)
    assert reading.text == "stop"
    assert reading.confidence == pytest.approx(0.9**3 * 0.3)
    assert reading.confidences == pytest.approx((0.9, 0.9, 0.3, 0.9))


def test_crops_keep_their_places():
    both = np.stack([columns_of([{"n": 0.99}, {"o": 0.99}, {"w": 0.99}, {"s": 0.99}]), columns_of(UNSURE)])
    images = np.arange(2, dtype=np.uint8).repeat(3 * 64).reshape(2, 3, 8, 8)
    given = Charset(CHARACTERS), LanguageModel.named("english"), 8
    readings = read_likeliest(lambda some: both[some[:, 0, 0, 0]], images, 3, *given)
    assert [reading.text for reading in readings] == ["nows", "stop"]
