"""Choosing the best of several: what luck is worth, and how episodes are spent."""

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from peira.core import BadConfig
from peira.evidence.selection import affordable, halve, rounds, shrink, split


def luck(policies, spread, *, shared=0.0, trials=1_000, members=200, seed=0):
    """By how much the winner is overrated, as it stands and as corrected, and how often
    either interval holds; errors have standard deviation 1."""
    rng = np.random.default_rng(seed)
    over, held = np.zeros((2, trials)), np.zeros((2, trials), bool)
    for i in range(trials):
        truth = spread * rng.normal(size=policies)
        said = truth + rng.normal(size=policies) + shared * rng.normal()
        replicas = rng.normal(size=(policies, members)) + shared * rng.normal(
            size=members
        )
        found = shrink(said, replicas)
        for j, e in enumerate((found.naive, found.corrected)):
            over[j, i] = e.value - truth[found.winner]
            held[j, i] = e.low <= truth[found.winner] <= e.high
    return over.mean(axis=1), held.mean(axis=1), np.sqrt(np.square(over).mean(axis=1))


@pytest.mark.parametrize(
    ("policies", "spread"), [(5, 0.0), (5, 1.0), (10, 0.5), (10, 2.0), (30, 1.0)]
)
def test_the_winner_is_overrated_and_the_correction_takes_most_of_it(policies, spread):
    """1000 choices, whose mean is known to about 0.03."""
    (naive, corrected), (_, held), (error, smaller) = luck(policies, spread)
    assert naive > 0.5
    assert abs(corrected) < 0.3 * naive
    assert held >= 0.93
    assert smaller < error


def test_the_naive_interval_fails_where_many_compete():
    _, (naive, corrected), _ = luck(30, 0.5)
    assert naive < 0.7
    assert corrected > 0.93


def test_few_members_and_an_error_that_all_share():
    """It is in the interval, though it cannot be corrected."""
    (naive, corrected), (_, held), _ = luck(10, 1.0, shared=1.0, members=5)
    assert abs(corrected) < 0.15 * naive
    assert held > 0.93


def test_one_alone_is_not_corrected():
    replicas = np.array([[1.0, 2.0, 3.0]])
    found = shrink(np.array([5.0]), replicas)
    assert found.naive == found.corrected
    assert found.naive.value == 5


def test_a_lead_beyond_doubt_is_kept_and_one_within_it_is_not():
    replicas = np.random.default_rng(0).normal(size=(4, 100))
    far = shrink(np.array([0.0, 50, 100, 150]), replicas)
    assert far.winner == 3
    assert far.corrected.value == pytest.approx(150, abs=0.1)
    near = shrink(np.array([0.0, 0.1, 0.2, 0.3]), replicas)
    assert near.corrected.value == pytest.approx(0.15, abs=1e-9)
    assert near.kept == 0


def test_units_and_order_do_not_matter():
    rng = np.random.default_rng(0)
    value, replicas = rng.normal(size=6), rng.normal(size=(6, 20))
    found, order = shrink(value, replicas), rng.permutation(6)
    other = shrink(3 * value[order] + 7, 3 * replicas[order])
    assert order[other.winner] == found.winner
    assert other.corrected.value == pytest.approx(3 * found.corrected.value + 7)
    assert other.corrected.low == pytest.approx(3 * found.corrected.low + 7)


@given(st.integers(1, 40), st.integers(2, 2_000))
def test_a_budget_is_kept_and_no_policy_goes_unplayed(policies, budget):
    played = []

    def play(i, episodes, turn):
        assert episodes >= 1
        played.append((i, turn))
        return np.full(episodes, float(i))

    if affordable(policies, budget) < policies:
        with pytest.raises(BadConfig, match="episodes at least"):
            split(policies, budget)
        return
    choosing, scoring = split(policies, budget)
    assert choosing + scoring == budget
    assert scoring >= min(budget, max(2, budget // 5))
    race = halve(play, policies, choosing)
    assert race.spent <= choosing
    assert sorted(race.order) == list(range(policies))
    assert race.order[0] == policies - 1  # who earns most
    assert race.rounds.max() == rounds(policies)
    if policies > 1:
        assert all(len(r) for r in race.returns)
        assert race.rounds[race.order[0]] == rounds(policies)


def test_the_least_budget_that_is_told_is_enough():
    with pytest.raises(BadConfig, match=r"4 policies take 1\d episodes") as error:
        split(4, 3)
    least = int(str(error.value).split("take ")[1].split()[0])
    assert affordable(4, least) == 4
    assert affordable(4, least - 1) < 4


def race_and_score(budget, trials=400):
    """Ten policies an eighth apart, episodes with spread 1: by how much the choosing
    and the fresh episodes overrate the winner, and how often the best one wins."""
    rng = np.random.default_rng(0)
    truth = np.arange(10) / 8
    play = lambda i, n, turn: truth[i] + rng.normal(size=n)
    naive, fresh, regret, even = [], [], [], []
    for _ in range(trials):
        choosing, _ = split(10, budget)
        race = halve(play, 10, choosing)
        best = race.order[0]
        naive.append(race.returns[best].mean() - truth[best])
        fresh.append(play(best, budget - race.spent, 0).mean() - truth[best])
        regret.append(truth.max() - truth[best])
        each = [play(i, choosing // 10, 0).mean() for i in range(10)]
        even.append(truth.max() - truth[int(np.argmax(each))])
    return map(np.mean, (naive, fresh, regret, even))


def test_fresh_episodes_are_honest_where_those_that_chose_are_not():
    """And halving wastes less than playing all alike does."""
    naive, fresh, regret, even = race_and_score(60)
    assert naive > 0.15
    assert abs(fresh) < 4 / math.sqrt(12 * 400)
    assert regret < even
