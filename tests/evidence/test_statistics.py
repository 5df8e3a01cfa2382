"""Known values, invariances, and whether 95 % means 95 %."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from peira.evidence import (
    bootstrap,
    difference,
    interquartile_mean,
    mean,
    probability_of_improvement,
)
from peira.evidence.statistics import middle_mean, wins


scores = hnp.arrays(
    np.float64,
    st.integers(2, 12),
    elements=st.floats(-1e6, 1e6).map(lambda x: round(x, 3)),
)


def test_t_interval_of_five_numbers():
    # The 97.5 % quantile of Student's t with 4 degrees of freedom is 2.7764.
    found = mean(np.array([1.0, 2, 3, 4, 5]))
    reach = 2.776445 * math.sqrt(2.5 / 5)
    assert found == pytest.approx((3.0, 3 - reach, 3 + reach), rel=1e-6)


def test_level_of_an_interval():
    # The 95 % quantile with 9 degrees of freedom is 1.8331.
    x = np.arange(10.0)
    found = mean(x, level=0.9)
    assert found.high - 4.5 == pytest.approx(
        1.833113 * x.std(ddof=1) / math.sqrt(10), rel=1e-6
    )


@pytest.mark.parametrize(
    "estimate",
    [
        mean(np.array([2.0])),
        interquartile_mean(np.array([2.0])),
        difference(np.array([3.0]), np.array([1.0, 1.0])),
    ],
)
def test_one_score_has_no_interval(estimate):
    assert estimate.value == 2.0
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)
    assert str(estimate) == "2"


def test_welch_on_his_unequal_variances():
    # By hand: variances 10/3 and 1 over 4 and 3 scores; error² = 5/6 + 1/3 = 7/6 and
    # ν = (7/6)² / ((5/6)²/3 + (1/3)²/2) = 49/36 / (25/108 + 1/18) = 4.7419.
    b = np.array([4.0, 5, 6])
    a = np.array([0.0, 2, 2, 4]) * math.sqrt(10 / 3 / (8 / 3))
    found = difference(a, b)
    centre = a.mean() - 5.0
    quantile = (found.high - centre) / math.sqrt(7 / 6)
    assert found.value == pytest.approx(centre)
    assert 2.5706 < quantile < 2.7764  # between ν = 5 and ν = 4
    assert quantile == pytest.approx(2.61323, abs=1e-4)


def test_welch_is_student_where_groups_are_alike():
    # Equal sizes and variances: ν = 2n - 2 = 8, quantile 2.3060.
    a = np.arange(5.0)
    found = difference(a + 1, a)
    assert found.high == pytest.approx(1 + 2.306004 * math.sqrt(2 * 2.5 / 5))


def test_no_spread_no_width():
    assert difference(np.ones(3), np.zeros(3)) == (1.0, 1.0, 1.0)


def test_middle_half():
    assert middle_mean(np.array([100.0, 1, 2, 3, -50, 4, 5, 6])) == 3.5
    assert middle_mean(np.array([0.0, 1, 8])) == 3.0  # too few to cut


def test_chance_of_improvement_counts_pairs():
    # (1>0)(1<2)(2>0)(2=2)(3>0)(3>2): four and a half of six.
    assert wins(np.array([1.0, 2, 3]), np.array([0.0, 2])) == pytest.approx(0.75)
    found = probability_of_improvement(np.array([1.0, 2, 3]), np.array([0.0, 2]))
    assert found.value == pytest.approx(0.75)
    assert 0 <= found.low <= 0.75 <= found.high <= 1


@given(scores, scores)
def test_improvement_and_its_converse_make_one(a, b):
    assert wins(a, b) + wins(b, a) == pytest.approx(1.0)


@given(scores, st.floats(-100, 100), st.floats(0.1, 10))
def test_estimates_move_with_their_scores(x, shift, unit):
    for estimate in (mean, interquartile_mean):
        moved = estimate(unit * x + shift)
        for old, new in zip(estimate(x), moved, strict=True):
            scale = abs(x).max() * unit + abs(shift)
            assert new == pytest.approx(unit * old + shift, abs=1e-9 * scale + 1e-12)


@given(scores, scores)
def test_difference_is_antisymmetric(a, b):
    there, back = difference(a, b), difference(b, a)
    assert there.value == -back.value
    assert there.low == pytest.approx(-back.high, rel=1e-9, abs=1e-9)


def test_bootstrap_repeats_itself_and_hears_its_seed():
    x = np.random.default_rng(1).normal(size=20)
    average = lambda y: y.mean(axis=-1)
    assert bootstrap(average, x) == bootstrap(average, x)
    assert bootstrap(average, x) != bootstrap(average, x, seed=1)


def test_strata_are_drawn_apart():
    """Two constant strata: drawn together their mean would vary."""
    together = lambda a, b: (a.mean(axis=-1) + b.mean(axis=-1)) / 2
    assert bootstrap(together, np.zeros(5), np.ones(7)) == (0.5, 0.5, 0.5)


def covered(estimate, truth, *, n, times, draw):
    rng = np.random.default_rng(0)
    found = [estimate(*(draw(rng, size) for size in n)) for _ in range(times)]
    return np.mean([e.low <= truth <= e.high for e in found])


def test_t_interval_covers_even_with_three_scores():
    normal = lambda rng, n: rng.normal(7.0, 2.0, n)
    share = covered(mean, 7.0, n=(3,), times=4_000, draw=normal)
    assert share == pytest.approx(0.95, abs=0.012)  # 3.5 standard errors


def test_welch_covers_with_unequal_groups():
    def draw(rng, n):
        return rng.normal(0.0, 1.0 if n == 4 else 5.0, n)

    share = covered(difference, 0.0, n=(4, 9), times=4_000, draw=draw)
    assert share == pytest.approx(0.95, abs=0.012)


def test_bootstrap_covers_with_many_scores():
    few = lambda x: bootstrap(middle_mean, x, resamples=400)
    uniform = lambda rng, n: rng.uniform(-1.0, 1.0, n)
    share = covered(few, 0.0, n=(60,), times=600, draw=uniform)
    assert share == pytest.approx(0.94, abs=0.035)
