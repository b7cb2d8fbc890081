"""What is drawn has the distributions that the method states (ranges, probabilities, numbers, order)."""

import numpy as np
import pytest

from lmim_kedro.errors import InputError
from lmim_kedro.params import JitterParams, ViewPreset
from lmim_kedro.views.draws import UNUSED, Draws, close_ranks
from lmim_kedro.views.policy import COLORS, GEOMETRIC, ViewPolicy, draw_jitter

MANY = np.arange(20_000)


@pytest.fixture
def drawn(presets):
    return ViewPolicy(presets["medium"]).draw(seed=3, epoch=0, index=MANY)


def assert_uniform(values, low, high):
    """Within [low, high], with the quantiles of a uniform distribution."""
    assert values.min() >= low and values.max() <= high
    wanted = low + (high - low) * np.linspace(0.1, 0.9, 9)
    assert np.quantile(values, np.linspace(0.1, 0.9, 9)) == pytest.approx(wanted, abs=0.02 * (high - low))


def test_medium_has_ten_operations_of_which_each_crop_gets_three_to_ten_equally_often(drawn):
    assert set(drawn.turns) == {*GEOMETRIC, *COLORS} and len(drawn.turns) == 10
    counts = sum((turns != UNUSED).astype(int) for turns in drawn.turns.values())
    share = np.bincount(counts, minlength=11) / len(MANY)
    assert share[:3].sum() == 0
    assert share[3:] == pytest.approx(np.full(8, 1 / 8), abs=0.01)


def test_every_operation_is_picked_as_often_and_comes_at_any_turn(drawn):
    for name, turns in drawn.turns.items():
        assert (turns != UNUSED).mean() == pytest.approx(0.65, abs=0.015), name
        assert (turns == 0).mean() == pytest.approx(0.1, abs=0.01), name
        assert (turns == 2).mean() == pytest.approx(0.1, abs=0.01), name


def test_turns_of_a_crop_are_an_order_without_gaps(drawn):
    turns = np.stack(list(drawn.turns.values()), 1)
    for row in turns[:200]:
        used = np.sort(row[row != UNUSED])
        assert used.tolist() == list(range(len(used)))


def test_any_of_two_operations_comes_first_in_half_of_the_crops(drawn):
    both = (drawn.turns["rotate"] != UNUSED) & (drawn.turns["blur"] != UNUSED)
    assert (drawn.turns["rotate"] < drawn.turns["blur"])[both].mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("name", "column", "low", "high"),
    [
        ("contrast", 0, 0.5, 1.0),
        ("blur", 0, 0.5, 1.5),
        ("crop_vertical", 0, 0, 0.1),
        ("crop_vertical", 1, 0, 0.1),
        ("crop_horizontal", 0, 0, 0.02),
        ("crop_horizontal", 1, 0, 0.02),
        ("sharpen", 0, 0, 0.5),
        ("sharpen", 1, 0, 0.5),
        ("rotate", 0, -15, 15),
        ("solarize", 0, 32, 128),
        ("grayscale_blend", 0, 0, 1),
    ],
)
def test_values_of_medium_are_uniform_in_their_range(drawn, name, column, low, high):
    assert_uniform(drawn.values[name][:, column], low, high)


def test_two_sides_of_a_crop_are_cut_independently(drawn):
    top, bottom = drawn.values["crop_vertical"].T
    assert abs(np.corrcoef(top, bottom)[0, 1]) < 0.03


def test_solarize_inverts_above_the_threshold_in_half_of_the_cases(drawn):
    above = drawn.values["solarize"][:, 1]
    assert set(above) == {0.0, 1.0}
    assert above.mean() == pytest.approx(0.5, abs=0.015)


def test_corners_move_inwards_by_a_half_normal_share_with_sigma_from_the_range(drawn, presets):
    moved = drawn.values["perspective"]
    assert moved.shape == (len(MANY), 8) and moved.min() >= 0
    # The mean square of a normal number is sigma squared, whose mean over U(0.02, 0.06) is 0.001733.
    assert np.mean(moved**2) == pytest.approx((0.06**3 - 0.02**3) / (3 * 0.04), rel=0.03)
    strong = ViewPolicy(presets["strong"]).draw(seed=3, epoch=0, index=MANY).values["perspective"]
    assert np.mean(strong**2) == pytest.approx((0.1**3 - 0.05**3) / (3 * 0.05), rel=0.03)
    assert strong.max() < 0.5


def test_corners_that_move_far_stay_in_their_quarter_of_the_crop():
    far = ViewPreset(pick=(1, 1), perspective=(0.3, 0.4))  # half-normal: a fifth of the draws goes beyond 0.45
    moved = ViewPolicy(far).draw(seed=3, epoch=0, index=MANY[:500]).values["perspective"]
    assert (moved > 0.44).mean() > 0.15
    assert moved.max() < 0.5


def test_points_of_the_piecewise_warp_move_normally_and_stay_in_the_crop(drawn):
    moved = drawn.values["piecewise_affine"].reshape(-1, 2, 4, 4)
    inner = moved[:, :, 1:3, 1:3]
    assert inner.mean() == pytest.approx(0, abs=1e-3)
    assert np.mean(inner**2) == pytest.approx((0.05**3 - 0.03**3) / (3 * 0.02), rel=0.03)
    place = np.linspace(0, 1, 4, dtype=np.float32)
    x, y = moved[:, 0] + place, moved[:, 1] + place[:, None]
    for at in (x, y):
        assert at.min() >= -1e-6 and at.max() <= 1 + 1e-6


def test_color_jitter_has_probability_and_factors_of_the_method_in_random_order(drawn):
    applied = drawn.jitter_turns["hue"] != UNUSED
    assert applied.mean() == pytest.approx(0.8, abs=0.01)
    for name, most in (("brightness", 0.4), ("contrast", 0.4), ("saturation", 0.2)):
        assert_uniform(drawn.jitter_values[name], 1 - most, 1 + most)
    assert_uniform(drawn.jitter_values["hue"], -0.1, 0.1)
    for turns in drawn.jitter_turns.values():
        assert ((turns != UNUSED) == applied).all()
        assert np.bincount(turns[applied]) / applied.sum() == pytest.approx(np.full(4, 0.25), abs=0.02)


def test_a_fifth_of_the_views_ends_up_gray(drawn):
    assert drawn.grayscale.mean() == pytest.approx(0.2, abs=0.01)


def test_weak_is_the_geometric_crop_and_rotation_alone(presets):
    drawn = ViewPolicy(presets["weak"]).draw(seed=0, epoch=0, index=MANY[:500])
    assert set(drawn.turns) == {"crop_vertical", "crop_horizontal", "rotate"}
    assert all((turns != UNUSED).all() for turns in drawn.turns.values())
    assert not drawn.jitter_turns and not drawn.grayscale.any()


def test_strong_gives_two_to_five_operations_and_larger_crops(presets):
    drawn = ViewPolicy(presets["strong"]).draw(seed=0, epoch=0, index=MANY)
    counts = sum((turns != UNUSED).astype(int) for turns in drawn.turns.values())
    assert np.bincount(counts)[2:] / len(MANY) == pytest.approx(np.full(4, 0.25), abs=0.015)
    assert counts.min() == 2
    assert_uniform(drawn.values["crop_vertical"], 0, 0.3)
    assert_uniform(drawn.values["crop_horizontal"], 0, 0.1)


def test_picking_more_operations_than_there_are_is_refused():
    with pytest.raises(InputError, match=r"picks 3 to all operations and has 1 \(rotate\): change its `pick`"):
        ViewPolicy(ViewPreset(rotate=15))


def test_beta_draws_have_the_moments_of_their_distributions():
    draws = Draws("test", seed=1, epoch=0, index=MANY)
    symmetric = draws.symmetric_beta("a")  # 2 Beta(4, 4) - 1: variance 4 * 16 / (64 * 9)
    assert abs(symmetric).max() <= 1
    assert symmetric.mean() == pytest.approx(0, abs=0.01)
    assert symmetric.var() == pytest.approx(1 / 9, rel=0.03)
    asymmetric = draws.asymmetric_beta("b")
    assert asymmetric.min() >= 0 and asymmetric.max() <= 1
    assert asymmetric.mean() == pytest.approx(0.2, abs=0.005)
    assert asymmetric.var() == pytest.approx(4 / 150, rel=0.05)


def test_normal_draws_are_finite_and_normal():
    normal = Draws("test", seed=1, epoch=0, index=MANY).normal("n", 10)
    assert np.isfinite(normal).all()
    assert (normal.mean(), normal.std()) == pytest.approx((0, 1), abs=0.01)
    assert (np.abs(normal) > 2).mean() == pytest.approx(0.0455, abs=0.003)


def test_what_has_probability_0_never_happens_and_what_has_1_always_does(monkeypatch):
    draws, least, most = Draws("test", seed=1, epoch=0, index=MANY[:2]), np.float32(0), np.float32(1 - 2**-24)
    monkeypatch.setattr(draws, "uniform", lambda name, n=1: np.array([[least] * n, [most] * n]))
    assert draws.happens("a", 0.0).tolist() == [False, False] and draws.happens("a", 1.0).tolist() == [True, True]
    low, high = draws.normal("a")[:, 0]
    assert low == -high and np.isfinite(low)  # the uniform numbers have both ends alike


def test_factors_of_jitter_are_never_negative():
    draws = Draws("test", seed=1, epoch=0, index=MANY)
    _, values = draw_jitter(draws, JitterParams(probability=1, brightness=1.5, contrast=0.5, saturation=0, hue=0))
    assert_uniform(values["brightness"], 0, 2.5)
    assert_uniform(values["contrast"], 0.5, 1.5)
    assert (values["saturation"] == 1).all() and (values["hue"] == 0).all()


def test_ranks_close_over_operations_that_are_left_out():
    turns = np.array([[5, UNUSED, 2], [UNUSED, UNUSED, UNUSED], [0, 7, 3]])
    assert close_ranks(turns).tolist() == [[1, UNUSED, 0], [UNUSED] * 3, [0, 2, 1]]
