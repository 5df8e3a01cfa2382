"""Intervals against SciPy, and what is done where none can be had."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from peira.evidence import bca, contrast, interval, mean, studentised, typical
from peira.evidence.aggregates import average, interquartile
from peira.evidence.intervals import skewness, skewness_error, span, trimmed
from peira.evidence.resampling import acceleration


RNG = np.random.default_rng(0)
MANY = RNG.normal(size=(12, 6)) * np.linspace(0.5, 2, 6)
LEVEL = 0.95


def test_a_contrast_of_two_is_scipys_welch():
    a, b = RNG.normal(size=5), RNG.normal(size=8) * 3
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval(LEVEL)
    found = contrast((1.0, -1.0), a, b)
    assert found[1:] == pytest.approx((theirs.low, theirs.high))


def test_a_mean_over_equal_tasks_has_all_their_freedom():
    """Four tasks of the same variance: 4 (n - 1) degrees of freedom."""
    x = np.array([0.0, 1, 2])
    found = contrast([0.25] * 4, x, x + 1, x + 2, x + 9)
    reach = stats.t.ppf(0.975, 8) * math.sqrt(1 / 3 / 4)
    assert found == pytest.approx((4.0, 4 - reach, 4 + reach))


def test_bca_is_scipys():
    x = np.random.default_rng(3).lognormal(size=30)
    theirs = stats.bootstrap(
        (x,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    found = bca(lambda y: y.mean(axis=-1), x, resamples=20_000)
    assert found[1:] == pytest.approx((theirs.low, theirs.high), rel=0.02)


def test_bca_of_two_strata_is_scipys():
    rng = np.random.default_rng(4)
    a, b = rng.lognormal(size=20), rng.exponential(size=14)
    far = lambda x, y, axis=-1: x.mean(axis=axis) - y.mean(axis=axis)
    theirs = stats.bootstrap(
        (a, b), far, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    found = bca(far, a, b, resamples=20_000)
    assert found[1:] == pytest.approx((theirs.low, theirs.high), rel=0.03, abs=0.02)


def test_acceleration_of_a_mean_is_a_sixth_of_its_skewness():
    # Efron, 1987: skew / (6 √n), with moments over n.
    x = RNG.exponential(size=15)
    expected = stats.skew(x) / 6 / math.sqrt(15)
    assert acceleration(average, x) == pytest.approx(expected)


def test_studentised_strata():
    """Of many normal numbers it is the contrast's; what does not vary has no width."""
    a, b = RNG.normal(size=(2, 300)) * [[1.0], [3.0]]
    found, t = studentised(a, b), contrast((0.5, 0.5), a, b)
    np.testing.assert_allclose(found, t, atol=0.02)
    assert studentised(np.ones(4), np.zeros(3)) == (0.5, 0.5, 0.5)
    assert math.isnan(studentised(np.ones(1)).low)


def test_trimmed_mean_of_eight_by_hand():
    """Winsorised at the quartiles: 3 3 3 4 5 6 6 6, variance 2; half is kept."""
    found = trimmed(np.array([-9.0, 1, 3, 4, 5, 6, 70, 800])[:, None])
    error = math.sqrt(np.var([3, 3, 3, 4, 5, 6, 6, 6], ddof=1) / 8) / 0.5
    reach = stats.t.ppf(0.975, 3.5) * error
    assert found == pytest.approx((4.5, 4.5 - reach, 4.5 + reach))


@pytest.mark.parametrize(("n", "k", "chance"), [(5, 1, 0.9375), (9, 2, 1 - 20 / 512)])
def test_order_statistics_enclose_the_median(n, k, chance):
    assert span(n, k) == pytest.approx(chance)  # counting tosses of a coin
    assert span(n, k) == pytest.approx(1 - 2 * stats.binom.cdf(k - 1, n, 0.5))


def test_the_median_of_few_runs():
    assert typical(np.array([5.0, 1, 2, 4, 3])).estimate == (3.0, 1.0, 5.0)
    few = typical(np.arange(4.0))
    assert math.isnan(few.estimate.low)
    assert "4 runs: even all of them span the median only 88%" in few.why
    six = typical(np.arange(6.0)).estimate  # 96.9 % from end to end
    assert 0.0 < six.low < 1.0
    assert six.low == pytest.approx(5.0 - six.high)


def test_the_median_holds_whatever_the_shape():
    rng = np.random.default_rng(1)
    for shape in (rng.normal, rng.standard_cauchy, rng.exponential):
        middle = math.log(2) if shape == rng.exponential else 0.0
        found = [typical(shape(size=8)).estimate for _ in range(1_500)]
        share = np.mean([e.low <= middle <= e.high for e in found])
        assert share == pytest.approx(LEVEL, abs=0.02)


@pytest.mark.parametrize(
    ("shape", "of", "method"),
    [
        ((3, 1), "mean", "none"),
        ((9, 1), "mean", "none"),
        ((10, 1), "mean", "t"),
        ((2, 9), "mean", "none"),
        ((3, 5), "mean", "t"),
        ((4, 4), "mean", "none"),
        ((5, 4), "mean", "t"),
        ((3, 9), "iqm", "winsorised t"),
        ((19, 1), "iqm", "none"),
        ((20, 1), "iqm", "BCa"),
        ((9, 9), "median", "none"),
        ((10, 9), "median", "BCa"),
        ((3, 9), "optimality gap", "t"),
    ],
)
def test_the_method_knows_n(shape, of, method):
    x = stats.norm.ppf((np.arange(np.prod(shape)) + 0.5) / np.prod(shape))
    x = np.random.default_rng(0).permutation(x).reshape(shape)
    found = interval(x, of=of, target=9.0)
    assert found.method == method
    assert (found.runs, found.tasks) == shape
    assert math.isnan(found.estimate.low) == (method == "none")
    assert bool(found.why) == (method == "none")


def test_what_would_be_enough_is_enough():
    for of in ("mean", "iqm", "median"):
        for tasks in range(1, 10):
            why = interval(np.zeros((1, tasks)), of=of).why
            need = int(why.split("; ")[1].split()[0])
            normal = np.random.default_rng(0).normal(size=(need, tasks))
            assert not interval(normal, of=of).why
            assert interval(normal[1:], of=of).why


def test_skewed_scores_have_another_interval():
    normal = stats.norm.ppf((np.arange(20) + 0.5) / 20)
    assert interval(normal).method == "t"
    assert interval(normal).estimate == pytest.approx(mean(normal))
    assert interval(np.exp(0.6 * normal)).method == "studentised"
    many = np.random.default_rng(0).lognormal(size=(6, 9))
    assert interval(many).method == "studentised"


def test_skewness_is_scipys():
    x = RNG.exponential(size=40)
    assert skewness(x[:, None]) == pytest.approx(stats.skew(x))
    drawn = stats.skew(np.random.default_rng(0).normal(size=(20_000, 12)), axis=1)
    assert skewness_error(12) == pytest.approx(drawn.std(), rel=0.03)


def test_the_gap_is_the_mean_of_what_is_missing():
    x = np.array([0.2, 0.9, 1.4])[:, None] * np.linspace(0.5, 1, 7)
    gap = interval(x, of="optimality gap").estimate
    short = interval(1 - np.minimum(x, 1)).estimate
    assert gap == pytest.approx(short)


normals = hnp.arrays(
    np.float64, st.just((10, 2)), elements=st.floats(-50, 50).map(lambda x: round(x, 2))
)


@given(normals, st.floats(-10, 10), st.floats(0.5, 5), st.permutations(range(10)))
def test_intervals_move_with_their_scores(x, shift, unit, order):
    """And do not care for the order of runs, where nothing is drawn."""
    for how in (lambda y: interval(y).estimate, trimmed):
        old, new = how(x), how(unit * x + shift)
        np.testing.assert_allclose(new, unit * np.array(old) + shift, atol=1e-6)
    np.testing.assert_allclose(trimmed(x[order]), trimmed(x), atol=1e-9)
    one = typical(x[:, 0]).estimate
    moved = typical(-unit * x[order, 0]).estimate
    np.testing.assert_allclose(moved, -unit * np.array(one)[[0, 2, 1]], atol=1e-6)


def test_winsorised_t_covers_where_the_bootstrap_does_not():
    """Nine tasks, three runs: the percentile bootstrap's share is near 85 %."""
    rng = np.random.default_rng(2)
    scale = np.linspace(0.5, 2, 9)
    covered = lambda e: e.low <= 0 <= e.high
    drawn = [rng.normal(size=(3, 9)) * scale for _ in range(1_000)]
    assert np.mean([covered(trimmed(x)) for x in drawn]) == pytest.approx(
        0.955, abs=0.02
    )
    assert interquartile(*drawn[0].T) == pytest.approx(trimmed(drawn[0]).value)
