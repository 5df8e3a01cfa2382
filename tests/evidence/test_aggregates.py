"""Aggregates, shares and profiles against SciPy and against sums written out."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from peira.core import BadConfig
from peira.evidence import (
    aggregate,
    AGGREGATES,
    collect,
    exact,
    jeffreys,
    matrix,
    profile,
    wilson,
)
from peira.evidence.aggregates import improvement
from peira.evidence.curves import area, best, chosen_best, final
from peira.evidence.scores import seeds_of


matrices = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 7), st.integers(1, 5)),
    elements=st.floats(-100, 100).map(lambda x: round(x, 3)),
)
NAMES = sorted(AGGREGATES)


@given(matrices)
def test_aggregates_are_what_others_compute(x):
    each = x.mean(axis=0)
    assert aggregate(x, "mean") == pytest.approx(each.mean(), abs=1e-9)
    assert aggregate(x, "median") == pytest.approx(np.median(each), abs=1e-9)
    expected = stats.trim_mean(x, 0.25, axis=None)
    assert aggregate(x, "iqm") == pytest.approx(expected, abs=1e-9)
    gap = 3.0 - np.where(x > 3.0, 3.0, x).mean()
    assert aggregate(x, "optimality gap", target=3.0) == pytest.approx(gap, abs=1e-9)


@given(matrices, st.randoms(use_true_random=False))
def test_aggregates_do_not_care_for_the_order_of_runs_and_tasks(x, random):
    y = x.copy()
    for column in y.T:
        random.shuffle(column)
    order = list(range(x.shape[1]))
    random.shuffle(order)
    for name in NAMES:
        assert aggregate(y[:, order], name) == pytest.approx(aggregate(x, name))


@given(matrices, st.floats(-10, 10), st.floats(0.1, 10))
def test_aggregates_move_with_their_scores(x, shift, unit):
    for name in ("mean", "median", "iqm"):
        expected = unit * aggregate(x, name) + shift
        assert aggregate(unit * x + shift, name) == pytest.approx(expected, abs=1e-6)
    gap = unit * aggregate(x, "optimality gap", target=2.0)
    found = aggregate(unit * x + shift, "optimality gap", target=unit * 2.0 + shift)
    assert found == pytest.approx(gap, abs=1e-6)


def test_improvement_is_mann_whitney_over_tasks():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (6, 3)) * 1.0, rng.integers(0, 5, (4, 3)) * 1.0
    u = [stats.mannwhitneyu(a[:, t], b[:, t]).statistic / 24 for t in range(3)]
    assert improvement(*a.T, *b.T) == pytest.approx(np.mean(u))


def test_an_unknown_aggregate_is_named():
    with pytest.raises(BadConfig, match="no aggregate 'mode'; there are mean, median"):
        aggregate(np.ones((2, 2)), "mode")


@pytest.mark.parametrize(
    ("method", "ours"), [("exact", exact), ("wilson", wilson)], ids=["exact", "wilson"]
)
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_shares_are_scipys(method, ours, trial):
    hits, n = trial
    theirs = stats.binomtest(hits, n).proportion_ci(0.9, method=method)
    found = ours(hits, n, level=0.9)
    assert found == pytest.approx((hits / n, theirs.low, theirs.high), abs=1e-9)


def test_jeffreys_is_the_posterior():
    posterior = stats.beta(3.5, 7.5)
    found = jeffreys(3, 10)
    assert found == pytest.approx((0.3, *posterior.ppf([0.025, 0.975])))
    assert jeffreys(0, 10).low == 0.0
    assert jeffreys(10, 10).high == 1.0


@pytest.mark.parametrize("interval", [exact, jeffreys, wilson])
def test_shares_are_shares(interval):
    with pytest.raises(BadConfig, match="6 of 5 is no share"):
        interval(6, 5)
    there, back = interval(2, 7), interval(5, 7)
    assert there.low == pytest.approx(1 - back.high)


def coverage(interval, share, n):
    """Exactly: the chance of every outcome whose interval holds the truth."""
    holds = [interval(k, n).low <= share <= interval(k, n).high for k in range(n + 1)]
    return stats.binom.pmf(np.arange(n + 1), n, share) @ np.array(holds)


def test_exact_covers_always_and_jeffreys_on_average():
    shares = np.linspace(0.02, 0.98, 49)
    assert min(coverage(exact, s, 10) for s in shares) >= 0.95
    average = np.mean([coverage(jeffreys, s, 10) for s in shares])
    assert average == pytest.approx(0.95, abs=0.01)


def test_a_profile_counts_runs_above():
    x = np.array([[0.0, 1.0], [2.0, 3.0]])
    found = profile(x, np.array([-1.0, 0.0, 1.5, 3.0]))
    np.testing.assert_allclose(found.share, [1.0, 0.75, 0.5, 0.0])
    assert found.low[0] == pytest.approx(0.025**0.25)  # all of four
    assert found.high[0] == 1.0
    assert (found.low <= found.share).all()
    assert (found.share <= found.high).all()


CURVES = np.array([[0.0, 4.0, 2.0], [1.0, 1.0, 1.0]])


def test_what_a_curve_scores():
    np.testing.assert_array_equal(final(CURVES), [2.0, 1.0])
    np.testing.assert_array_equal(best(CURVES), [4.0, 1.0])
    # Trapezoids by hand: (0+4)/2 over 1 step and (4+2)/2 over 3 steps, of 4 in all.
    np.testing.assert_allclose(area(np.array([0, 1, 4]), CURVES), [11 / 4, 1.0])
    np.testing.assert_array_equal(area(np.array([7]), CURVES[:, :1]), [0.0, 1.0])


def test_the_best_checkpoint_is_not_scored_by_what_chose_it():
    """Checkpoints that are all alike: their best looks good, and is worth nothing."""
    noise = np.random.default_rng(0).normal(size=(300, 20, 4))
    looks = best(noise.mean(axis=2)).mean()
    assert looks > 0.8
    assert chosen_best(noise).mean() == pytest.approx(0.0, abs=0.08)
    # One that is better is found, and keeps its worth.
    noise[:, 7] += 10.0
    assert chosen_best(noise).mean() == pytest.approx(10.0, abs=0.1)
    with pytest.raises(BadConfig, match="chosen by other episodes"):
        chosen_best(noise[:, :, :1])


def rows(**change):
    return [
        {"seed": s, "task": t, "score": 10.0 * s + len(t)} | change
        for s in (1, 0)
        for t in ("b", "aa")
    ]


def test_a_table_becomes_a_matrix():
    found = collect(rows())
    assert found.seeds == (0, 1)
    assert found.tasks == ("aa", "b")
    np.testing.assert_array_equal(found.values, [[2.0, 1.0], [12.0, 11.0]])


def test_episodes_are_not_runs():
    with pytest.raises(BadConfig, match="seed 1 has 2 scores on aa: episodes are not"):
        collect(rows(task="aa"))
    with pytest.raises(BadConfig, match=r"\(2, 3, 4\).*episodes are not runs"):
        matrix(np.zeros((2, 3, 4)))
    with pytest.raises(BadConfig, match="30 scores are from 3 seeds: episodes"):
        seeds_of([0, 1, 2], np.zeros(30))
    with pytest.raises(BadConfig, match="a seed is named twice"):
        seeds_of([0, 0], np.zeros(2))
    seeds_of([0, 1], np.zeros(2))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (rows()[:3], "seed 0 has no score on aa"),
        ([{"seed": 0, "score": 1.0}], "a row has no task; it has seed, score"),
        (rows(score=math.nan), "not finite: say what a failed run is worth"),
        ([], "there are no scores"),
    ],
)
def test_a_table_with_holes_is_refused(table, message):
    with pytest.raises(BadConfig, match=message):
        collect(table)
