from __future__ import annotations

import sys
from collections.abc import Iterator

import pandas as pd
import pytest

from lmim_kedro.errors import InputError
from lmim_kedro.registries import METRICS
from lmim_kedro.scoring import normalization
from lmim_kedro.scoring.metrics import judge_readings


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("It's", "its"),
        ("50% OFF!", "50off"),
        ("Café", "caf"),
        ("--", ""),
        ("", ""),
        ("\u212aelvin", "elvin"),  # the Kelvin sign becomes a k when lowered, but is no letter of a-z
        ("\uff21B\u0663", "b"),  # full-width and Arabic-Indic digits are none of 0-9A-Za-z
    ],
)
def test_waics_keeps_letters_and_digits_in_lower_case(given: str, kept: str) -> None:
    assert normalization.waics(given) == kept


def test_letters_and_digits_keep_their_case() -> None:
    assert normalization.letters_and_digits("St. John's 2") == "StJohns2"


def test_verbatim_keeps_symbols_and_spaces() -> None:
    assert METRICS["exact"].normalize(" A-b ") == " A-b "


@pytest.mark.parametrize(
    ("given", "form"),
    [
        ("\uff28\uff45\uff4c\uff4c\uff4f\uff01", "hello!"),
        ("\u3000A", " a"),
        ("\uff5e", "~"),
        ("\uff5f", "\uff5f"),  # just outside the full-width range
        ("\u842c\u842c", "\u4e07\u4e07"),  # traditional wan -> simplified
        ("\u6b61\u8fce\uff0c\u5149\u81e8", "\u6b22\u8fce,\u5149\u4e34"),
        ("ABC-1", "abc-1"),
    ],
)
def test_chinese_is_half_width_lower_case_simplified_with_symbols(given: str, form: str) -> None:
    assert normalization.chinese(given) == form


@pytest.fixture
def no_zhconv(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "zhconv", None)
    normalization._zhconv.cache_clear()
    yield
    normalization._zhconv.cache_clear()


@pytest.mark.usefixtures("no_zhconv")
def test_without_zhconv_chinese_says_how_to_install_it_and_the_other_verdicts_are_given() -> None:
    readings = pd.DataFrame({"benchmark": "web", "index": [0], "label": ["\u6b61"], "prediction": ["\u6b61"]})
    readings["confidence"] = 1.0
    manifest = pd.DataFrame({"store_index": [0], "key": ["a"], "width": [9], "height": [9], "status": ["ok"]})
    assert normalization.chinese("ABC") == "abc"
    with pytest.raises(InputError, match=r"needs zhconv: install it with `pip install -e '.\[chinese\]'`"):
        normalization.chinese("\u6b61")
    judged = judge_readings(readings, manifest)
    assert judged["exact"].tolist() == [True] and judged["chinese"].isna().all()
    with pytest.raises(InputError, match="needs zhconv"):
        judge_readings(readings, manifest, "chinese")
