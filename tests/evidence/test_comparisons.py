"""Differences, many at once, and how many runs they take; stopping in time."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from peira.core import BadConfig
from peira.evidence import (
    bet,
    compared,
    decide,
    holm,
    joint,
    paired,
    power,
    probability_of_improvement,
    runs_needed,
    simultaneous,
    visible,
)
from peira.evidence.sequential import nominal_level, p_of


RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(6, 2)) + 1, RNG.normal(size=(7, 2)) * 2


def test_one_task_is_scipys_welch():
    theirs = stats.ttest_ind(A[:, 0], B[:, 0], equal_var=False)
    found = compared(A[:, 0], B[:, 0])
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.estimate[1:] == pytest.approx(tuple(theirs.confidence_interval()))
    assert found.runs == (6, 7)


def test_pairs_are_scipys():
    a = {s: [*row] for s, row in enumerate(A)}
    b = {s: [*row] for s, row in enumerate(B[:6])}
    theirs = stats.ttest_rel(A.mean(axis=1), B[:6].mean(axis=1))
    found = paired(a, dict(reversed(b.items())))
    assert found.paired
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.estimate[1:] == pytest.approx(tuple(theirs.confidence_interval()))


def test_pairs_share_their_seeds():
    with pytest.raises(BadConfig, match="same seeds, but only one of both has 2, 7"):
        paired({0: 1.0, 2: 1.0}, {0: 1.0, 7: 1.0})


def test_tasks_are_the_same():
    with pytest.raises(BadConfig, match="2 tasks and the other 1"):
        compared(A, B[:, :1])


def test_few_runs_have_no_verdict():
    found = compared(np.arange(4.0), np.arange(9.0) + 100)
    assert found.verdict == "cannot tell"
    assert math.isnan(found.p)
    assert found.why == "4 runs are too few; 5 of each will do"
    few = np.random.default_rng(0).normal(size=(3, 5))
    assert compared(few + 9, few).verdict == "higher"
    assert "2 runs are too few; 3 of each will do" in compared(few[1:], few).why


def test_verdicts():
    x = np.arange(5.0)
    assert compared(x + 9, x).verdict == "higher"
    assert compared(x, x + 9).verdict == "lower"
    assert compared(x + 0.1, x).verdict == "cannot tell"
    assert compared(np.ones(5), np.ones(5)).p == 1.0
    assert compared(np.ones(5), np.zeros(5)).p == 0.0


def test_the_verdict_and_the_p_value_agree():
    rng = np.random.default_rng(1)
    for _ in range(200):
        found = compared(rng.normal(size=5) + 1, rng.normal(size=6))
        assert (found.p < 0.05) == (found.verdict != "cannot tell")


def test_equal_algorithms_are_told_apart_as_often_as_is_said():
    """A/A, also where seeds fall into two groups."""
    rng = np.random.default_rng(2)
    modes = lambda: (rng.random(5) < 0.3) + 0.1 * rng.normal(size=5)
    for draw, most in ((lambda: rng.normal(size=5), 0.062), (modes, 0.062)):
        told = [compared(draw(), draw()).verdict for _ in range(2_000)]
        assert np.mean(np.array(told) != "cannot tell") < most


def test_holm_by_hand():
    # Sorted 0.01 0.02 0.03 0.04 times 4 3 2 1, never falling.
    found = holm([0.03, 0.01, 0.04, 0.02])
    np.testing.assert_allclose(found, [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.02, math.nan, 0.03]), [0.04, math.nan, 0.04])
    assert holm([]).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms())
def test_holm_lies_between_one_and_bonferroni(p, random):
    found = holm(p)
    assert (found >= np.array(p)).all()
    assert (found <= np.minimum(1, len(p) * np.array(p)) + 1e-12).all()
    order = list(range(len(p)))
    random.shuffle(order)
    np.testing.assert_allclose(holm([p[i] for i in order]), found[order])


def test_several_arms():
    arms = {n: RNG.normal(size=8) + k for k, n in enumerate("abc")}
    found = simultaneous(arms, against="a")
    assert list(found) == ["b", "c"]
    assert joint(0.95, 2) == pytest.approx(0.975)
    alone = compared(arms["b"], arms["a"], level=0.975)
    assert found["b"].estimate == alone.estimate
    assert found["b"].p >= alone.p
    with pytest.raises(BadConfig, match="no arm 'x'; there are a, b, c"):
        simultaneous(arms, against="x")


def test_improvement_has_a_width_where_all_pairs_agree():
    found = probability_of_improvement(np.arange(3.0) + 9, np.arange(3.0))
    assert found.value == found.high == 1.0
    assert 0.3 < found.low < 0.8


def test_improvement_covers():
    rng = np.random.default_rng(5)
    truth, held = stats.norm.cdf(1 / math.sqrt(2)), []
    for _ in range(600):
        e = probability_of_improvement(rng.normal(size=5) + 1, rng.normal(size=5))
        held.append(e.low <= truth <= e.high)
    assert np.mean(held) == pytest.approx(0.955, abs=0.03)


@pytest.mark.parametrize(
    ("d", "pairs", "runs"),
    [(0.5, False, 64), (0.8, False, 26), (1.0, False, 17), (1.0, True, 10)],
)
def test_cohens_table(d, pairs, runs):
    """Cohen, 1988, tables 2.4 (two-sided 5 %, power 80 %)."""
    assert runs_needed(d, 1.0, paired=pairs) == runs
    assert runs_needed(-3 * d, 3.0, paired=pairs) == runs


def test_power_is_what_a_simulation_finds():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20_000, 4))
    p = stats.ttest_ind(x + 2.0, y, axis=1).pvalue
    assert power(2.0, 1.0, 4) == pytest.approx((p < 0.05).mean(), abs=0.012)
    assert power(0.0, 1.0, 4) == pytest.approx(0.05)
    assert power(100.0, 1.0, 4) == pytest.approx(1.0)
    assert power(100.0, 1.0, 1) == 0.0


def test_what_is_visible_is_seen():
    for n in (2, 3, 10):
        assert power(visible(2.0, n), 2.0, n) == pytest.approx(0.8)
    assert visible(2.0, 1) == math.inf


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda: runs_needed(0.0, 1.0), "takes more than 100,000 runs"),
        (lambda: runs_needed(1.0, 0.0), "a spread of 0 must be above 0"),
        (lambda: runs_needed(1.0, 1.0, chance=1.0), "a chance of 1 is not between"),
        (lambda: power(math.nan, 1.0, 5), "is none to look for"),
        (lambda: power(1.0, 1.0, 5, level=95), "a level of 95 is not between"),
    ],
)
def test_questions_without_an_answer(question, message):
    with pytest.raises(BadConfig, match=message):
        question()


LOOKS = (5, 7, 9, 11)


def test_one_look_is_one_test():
    # Welch with few runs of equal spread errs a little less often than it says.
    assert nominal_level((8,)) == pytest.approx(0.05, abs=0.004)
    assert 0.05 / 4 < nominal_level(LOOKS) < 0.03


def test_sums_give_welchs_p():
    x, y = A[:, 0], B[:6, 0]
    sums = np.array([x.sum(), y.sum(), (x**2).sum(), (y**2).sum()])[:, None]
    theirs = stats.ttest_ind(x, y, equal_var=False).pvalue
    assert p_of(sums, 6)[0] == pytest.approx(theirs)


def test_stopping_errs_as_often_as_it_says():
    rng = np.random.default_rng(9)
    found = [decide(*rng.normal(size=(2, 11)), LOOKS).verdict for _ in range(1_500)]
    assert np.mean(np.array(found) != "cannot tell") == pytest.approx(0.05, abs=0.018)


def test_stopping_goes_on_until_it_is_decided():
    x = np.tile([0.0, 1.0], 6)
    first = decide(x[:6], x[:6] + 0.5, LOOKS)
    assert first.verdict == "go on"
    assert first.runs == 7
    assert decide(x[:11], x[:11], LOOKS).verdict == "cannot tell"
    assert decide(x[:11], x[:11], LOOKS).runs == 0
    assert decide(x[:8] + 9, x[:8], LOOKS).verdict == "higher"
    # Runs beyond the look that decided change nothing.
    late = decide(np.append(x[:8] + 9, -1e9), np.append(x[:8], 1e9), LOOKS)
    assert late == decide(x[:8] + 9, x[:8], LOOKS)


def test_looks_are_planned():
    with pytest.raises(BadConfig, match="must be numbers of runs that rise"):
        decide(A, B, (7, 5))
    with pytest.raises(BadConfig, match="a look at 3 runs is too early"):
        decide(A, B, (3, 5))
    with pytest.raises(BadConfig, match="6 runs are fewer than the first look's 8"):
        decide(A, B, (8, 10))


def test_a_bet_is_the_bayes_factor():
    """Against the ratio of densities of t, which SciPy integrates on its own."""
    x, y = A[:, 0], B[:6, 0]
    t = stats.ttest_ind(x, y).statistic
    there = lambda d: stats.nct.pdf(t, 10, d * math.sqrt(3)) * stats.norm.pdf(d)
    grid = np.linspace(-8, 8, 4_001)
    expected = np.trapezoid(there(grid), grid) / stats.t.pdf(t, 10)
    assert bet(x, y) == pytest.approx(expected, rel=1e-6)
    assert bet(x[:1], y) == bet(np.ones(4), np.ones(4)) == 1.0


def test_a_bet_may_be_watched():
    """Over 30 looks at equal algorithms, and growing where they differ."""
    rng, won = np.random.default_rng(3), 0
    for _ in range(400):
        x, y = rng.normal(size=(2, 30))
        won += any(bet(x[:n], y[:n]) >= 20 for n in range(2, 31))
    assert won / 400 < 0.05
    assert bet(np.arange(9.0) + 20, np.arange(9.0)) > 1e4
