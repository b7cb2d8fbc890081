from __future__ import annotations

from dataclasses import dataclass

import pytest

from lmim_kedro.errors import InputError
from lmim_kedro.scoring.protocols import NAMES, SIZES, get_protocol


@dataclass
class Subset:
    accuracy: float
    count: int
    unscorable: int = 0


def whole(name: str, accuracy: float = 0.5) -> dict[str, Subset]:
    return {subset: Subset(accuracy, size) for subset, size in get_protocol(name).sizes.items()}


def test_sizes_of_the_protocols_add_up_to_the_published_totals() -> None:
    totals = {name: sum(get_protocol(name).sizes.values()) for name in NAMES}
    assert totals == {
        "common_1015_2077": 7672,
        "common_857_1811": 7248,
        "union14m": 407_888,
        "chinese": 151_094,
    }


def test_average_counts_test_sets_and_weighted_average_counts_images() -> None:
    scores = whole("chinese", 0.0) | {"document": Subset(1.0, 50_000)}
    avg, weighted_avg = get_protocol("chinese").average(scores)
    assert avg == pytest.approx(0.25)
    assert weighted_avg == pytest.approx(50_000 / 151_094)


def test_images_that_cannot_be_scored_count_for_the_size_but_not_for_the_weight() -> None:
    scores = whole("common_1015_2077", 1.0) | {"iiit5k": Subset(0.0, 2000, 1000)}
    _, weighted_avg = get_protocol("common_1015_2077").average(scores)
    assert weighted_avg == pytest.approx((7672 - 3000) / (7672 - 1000))


def test_test_set_of_the_wrong_size_is_refused() -> None:
    scores = whole("common_1015_2077") | {"svt": Subset(0.5, 646)}
    with pytest.raises(InputError, match="`svt` has 646 images, but in protocol common_1015_2077 it has 647"):
        get_protocol("common_1015_2077").average(scores)


def test_missing_test_sets_are_refused_by_name() -> None:
    scores = whole("common_857_1811")
    with pytest.raises(InputError, match=r"but ic13_1015, ic15_2077 are missing \(found iiit5k, ic13_857"):
        get_protocol("common_1015_2077").average(scores)


def test_other_test_sets_are_left_alone() -> None:
    scores = whole("union14m", 0.25) | {name: Subset(1.0, size) for name, size in SIZES.items() if name == "svt"}
    assert get_protocol("union14m").average(scores)[0] == pytest.approx(0.25)


def test_test_set_without_scorable_labels_is_refused() -> None:
    scores = whole("common_857_1811") | {"svt": Subset(float("nan"), 0, 647)}
    with pytest.raises(InputError, match="no label of `svt` can be scored"):
        get_protocol("common_857_1811").average(scores)


def test_labels_are_part_of_the_common_protocols_only() -> None:
    assert get_protocol("common_1015_2077", "corrected").labels == "corrected"
    with pytest.raises(InputError, match="union14m has original labels, not `corrected`"):
        get_protocol("union14m", "corrected")


def test_unknown_protocol_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="no protocol `common`: choose one of common_1015_2077"):
        get_protocol("common")


def test_sizes_are_those_of_the_published_test_sets() -> None:
    assert list(SIZES.values()) == [
        *(3000, 647, 857, 1015, 1811, 2077, 645, 288),
        *(2426, 1369, 900, 779, 1585, 829, 400_000),
        *(63_646, 14_059, 50_000, 23_389),
    ]


def test_chinese_is_scored_as_chinese_and_all_others_by_waics() -> None:
    assert {name: get_protocol(name).metric for name in NAMES if name != "chinese"} == dict.fromkeys(
        ("common_1015_2077", "common_857_1811", "union14m"), "waics"
    )
    assert get_protocol("chinese").metric == "chinese"
    with pytest.raises(InputError, match="ic13_1015 is missing"):
        get_protocol("common_1015_2077").average(
            {name: each for name, each in whole("common_1015_2077").items() if name != "ic13_1015"}
        )
