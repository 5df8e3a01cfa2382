"""Off-policy estimates against sums written out, against exact values, and whether 95 %
means 95 %."""

import dataclasses
import math

import numpy as np
import pytest
from few_states import GAMMA, model_of, seen_states, weighed, world

from peira.evidence.ope import estimators, Logged, Model
from peira.evidence.ope.appraise import out_of_bag, returns_to_go
from peira.evidence.ope.intervals import (
    bernstein,
    effective,
    interval,
    lower_bound,
)
from peira.evidence.ope.logged import seen, side_by_side
from peira.evidence.resampling import studentised


ALONE = {
    "is": estimators.trajectory,
    "wis": estimators.weighted_trajectory,
    "pdis": estimators.per_decision,
    "wpdis": estimators.weighted_per_decision,
}
MODELLED = {
    "dr": estimators.doubly_robust,
    "wdr": estimators.weighted_doubly_robust,
}


def made_up(seed=0, n=6, longest=5):
    """Episodes of all lengths, and a model of them that knows nothing."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, n)
    lengths[0] = longest
    steps = int(lengths.sum())
    grid = lambda fill: side_by_side(rng.gamma(1.0, size=steps), lengths, fill)
    ended = rng.random(n) < 0.5
    log = Logged(grid(1.0), grid(0.0), lengths, ended)
    after = grid(0.0)
    after[np.flatnonzero(ended), lengths[ended] - 1] = 0.0
    return log, Model(grid(0.0), after, rng.normal(size=n))


def written_out(log, model=None, *, gamma=GAMMA):
    """Each estimator as its paper writes it, step by step."""
    n, T = log.reward.shape
    rho = np.ones((n, T + 1))  # rho[i, t + 1] is the product up to step t
    for i in range(n):
        for t in range(T):
            rho[i, t + 1] = rho[i, t] * log.ratio[i, t]
    total = [sum(gamma**t * log.reward[i, t] for t in range(T)) for i in range(n)]
    last = rho[:, T]
    found = {
        "is": sum(last[i] * total[i] for i in range(n)) / n,
        "wis": sum(last[i] * total[i] for i in range(n)) / last.sum(),
        "pdis": sum(
            gamma**t * rho[i, t + 1] * log.reward[i, t]
            for i in range(n)
            for t in range(T)
        )
        / n,
        "wpdis": sum(
            gamma**t * (rho[:, t + 1] @ log.reward[:, t]) / rho[:, t + 1].sum()
            for t in range(T)
        ),
    }
    if model is None:
        return found
    v = np.concatenate([model.first[:, None], model.after], axis=1)
    backward = []  # Jiang & Li, eq. 10, from the last step to the first
    for i in range(n):
        end = log.length[i]
        worth = v[i, end]
        for t in reversed(range(end)):
            error = log.reward[i, t] + gamma * worth - model.value[i, t]
            worth = v[i, t] + log.ratio[i, t] * error
        backward.append(worth)
    share = rho / rho.sum(axis=0)  # Thomas & Brunskill, eq. 7; the first is 1/n
    wdr = 0.0
    for i in range(n):
        for t in range(log.length[i]):
            wdr += gamma**t * share[i, t + 1] * (log.reward[i, t] - model.value[i, t])
            wdr += gamma**t * share[i, t] * v[i, t]
        end = log.length[i]  # where time ran out, what the model says is to come
        wdr += gamma**end * share[i, end] * v[i, end]
    return found | {"dr": sum(backward) / n, "wdr": wdr}


@pytest.mark.parametrize("seed", range(4))
def test_estimators_are_the_sums_of_their_papers(seed):
    log, model = made_up(seed)
    wanted = written_out(log, model)
    for name, estimate in ALONE.items():
        assert estimate(log, GAMMA).parts.mean() == pytest.approx(wanted[name])
    for name, estimate in MODELLED.items():
        assert estimate(log, model, GAMMA).parts.mean() == pytest.approx(wanted[name])


def test_two_episodes_by_hand():
    """Ratios 2 then 1/2, and 1/2; rewards 1 then 4, and 2; γ = 1/2."""
    ratio, reward = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, 4.0], [2.0, 0]])
    log = Logged(ratio, reward, np.array([2, 1]), np.array([True, True]))
    said = {k: f(log, 0.5).parts.mean() for k, f in ALONE.items()}
    # Returns 3 and 2 with weights 1 and 1/2; step by step 2·1 + 1·2 and 1/2·2.
    assert said["is"] == pytest.approx((3 + 1) / 2)
    assert said["wis"] == pytest.approx((3 + 1) / 1.5)
    assert said["pdis"] == pytest.approx((2 + 2 + 1) / 2)
    assert said["wpdis"] == pytest.approx(3 / 2.5 + 0.5 * 4 / 1.5)


def test_on_its_own_log_a_policy_is_worth_the_mean_return():
    log, _ = made_up()
    own = log._replace(ratio=np.ones_like(log.ratio))
    total = own.reward @ GAMMA ** np.arange(own.reward.shape[1])
    for estimate in ALONE.values():
        parts, weight = estimate(own, GAMMA)
        np.testing.assert_allclose(parts, total)
        assert effective(weight) == pytest.approx(len(total))


def test_a_model_of_nothing_changes_nothing():
    log, model = made_up()
    nothing = Model(*(np.zeros_like(x) for x in model))
    for name, plain in (("dr", "pdis"), ("wdr", "wpdis")):
        with_model = MODELLED[name](log, nothing, GAMMA).parts
        np.testing.assert_allclose(with_model, ALONE[plain](log, GAMMA).parts)


def test_a_perfect_model_leaves_no_doubt():
    """Where nothing is left to chance but where an episode opens."""
    mdp, behaviour, policy = world()
    sure = (mdp.move == mdp.move.max(axis=2, keepdims=True)).astype(float)
    sure[2:] = 0.0  # the last two states end the episode
    mdp = dataclasses.replace(mdp, move=sure, noise=0.0)
    data = mdp.play(behaviour, 50, 400, np.random.default_rng(0))
    q, v = mdp.values(policy, GAMMA)
    for estimate in MODELLED.values():
        parts = estimate(weighed(data, policy), model_of(data, policy, q), GAMMA).parts
        opened = data.obs[data.starts[:-1] + np.arange(50)]
        if estimate is estimators.doubly_robust:
            np.testing.assert_allclose(parts, v[opened], rtol=1e-5)
        assert parts.mean() == pytest.approx(v[opened].mean(), rel=1e-5)


def test_order_and_units_do_not_matter():
    log, _ = made_up(n=8)
    shuffled = np.random.default_rng(1).permutation(8)
    moved = Logged(*(x[shuffled] for x in log))
    louder = log._replace(reward=3 * log.reward)
    for estimate in ALONE.values():
        parts, _ = estimate(log, GAMMA)
        np.testing.assert_allclose(estimate(moved, GAMMA).parts, parts[shuffled])
        np.testing.assert_allclose(estimate(louder, GAMMA).parts, 3 * parts)


@pytest.mark.parametrize("name", ["wis", "wpdis"])
def test_parts_move_a_ratio_as_leaving_one_out_does(name):
    """The jackknife's standard error, to first order in one over n."""
    mdp, behaviour, policy = world()
    data = mdp.play(behaviour, 300, 100, np.random.default_rng(2))
    log = weighed(data, policy)
    log = log._replace(reward=np.where(log.alive, log.reward + 3, 0.0))
    n = data.episodes
    keep = [np.arange(n) != i for i in range(n)]
    without = [
        ALONE[name](Logged(*(x[k] for x in log)), GAMMA).parts.mean() for k in keep
    ]
    jackknife = math.sqrt((n - 1) * np.var(without))
    parts = ALONE[name](log, GAMMA).parts
    assert parts.std(ddof=1) / math.sqrt(n) == pytest.approx(jackknife, rel=0.05)


def test_truth_is_within_the_intervals_as_often_as_they_say():
    """200 logs of 100 episodes. The mean of 200 estimates is known to 1/14 of their
    spread, 95 % of 200 to 1.5 %. The model is wrong on purpose."""
    mdp, behaviour, policy = world()
    truth = mdp.worth(policy, GAMMA)
    assert abs(truth - mdp.worth(behaviour, GAMMA)) > 0.2  # there is something to see
    wrong = mdp.values(policy, GAMMA)[0] + 0.3 * np.array(
        [[1, -1], [1, 1], [-1, 0.5], [0, 2]]
    )
    rng = np.random.default_rng(0)
    said = {name: [] for name in (*ALONE, *MODELLED)}
    for _ in range(200):
        data = mdp.play(behaviour, 100, 100, rng)
        log, model = weighed(data, policy), model_of(data, policy, wrong)
        for name, estimate in ALONE.items():
            said[name].append(interval(estimate(log, GAMMA).parts, "t"))
        for name, estimate in MODELLED.items():
            said[name].append(interval(estimate(log, model, GAMMA).parts, "t"))
    spread = {}
    for name, found in said.items():
        values = np.array([e.value for e in found])
        spread[name] = values.std()
        assert abs(values.mean() - truth) < 3.5 * spread[name] / math.sqrt(200), name
        covered = np.mean([e.low <= truth <= e.high for e in found])
        assert 0.9 <= covered <= 0.99, (name, covered)
    assert spread["pdis"] < spread["is"]
    assert spread["dr"] < spread["pdis"]


def test_worth_is_the_mean_return_on_policy():
    """The ground truth itself, against play."""
    mdp, _, policy = world()
    data = mdp.play(policy, 20_000, 400, np.random.default_rng(0))
    played = returns_to_go(data, GAMMA)[data.starts[:-1]]
    reach = 4 * played.std() / math.sqrt(len(played))
    assert played.mean() == pytest.approx(mdp.worth(policy, GAMMA), abs=reach)
    short = mdp.play(policy, 20_000, 3, np.random.default_rng(0))
    assert short.truncated.any()
    assert short.terminated.any()
    played = returns_to_go(short, GAMMA)[short.starts[:-1]]
    assert played.mean() == pytest.approx(mdp.worth(policy, GAMMA, 3), abs=reach)
    assert mdp.worth(policy, GAMMA, 400) == pytest.approx(mdp.worth(policy, GAMMA))


def test_where_time_ran_out_a_model_says_what_was_to_come():
    """With the true model dr knows the value for good; pdis knows three steps of it."""
    mdp, behaviour, policy = world(stay=0.97)
    data = mdp.play(behaviour, 4_000, 3, np.random.default_rng(3))
    log = weighed(data, policy)
    q, _ = mdp.values(policy, GAMMA)
    for name in MODELLED:
        e = interval(MODELLED[name](log, model_of(data, policy, q), GAMMA).parts, "t")
        assert e.low <= mdp.worth(policy, GAMMA) <= e.high
    e = interval(estimators.per_decision(log, GAMMA).parts, "t")
    assert e.low <= mdp.worth(policy, GAMMA, 3) <= e.high
    assert not e.low <= mdp.worth(policy, GAMMA) <= e.high


@pytest.mark.parametrize(
    ("weight", "count"),
    [([1.0, 1, 1, 1], 4), ([5.0, 0, 0, 0], 1), ([2.0, 2, 0, 0], 2), ([0.0, 0], 0)],
)
def test_effective_episodes(weight, count):
    assert effective(np.array(weight)) == pytest.approx(count)


def test_effective_of_an_overflow():
    assert effective(np.array([np.inf, 1.0])) == 0


def test_studentised_bootstrap():
    """Of many normal numbers it is Student's; of few skewed ones it leans to the long
    tail and covers where Student's does not."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    np.testing.assert_allclose(studentised(x), interval(x, "t"), atol=0.012)
    leans, covers = [], {"t": [], "bootstrap": []}
    for _ in range(150):
        y = rng.lognormal(sigma=1.0, size=20)
        for how, found in covers.items():
            e = interval(y, how)
            found.append(e.low <= math.exp(0.5) <= e.high)
        leans.append(e.high - e.value > e.value - e.low)
    assert np.mean(leans) > 0.9
    assert np.mean(covers["bootstrap"]) > np.mean(covers["t"]) + 0.02


def test_bootstrap_of_what_does_not_vary():
    assert studentised(np.full(5, 2.0)) == (2.0, 2.0, 2.0)


def theorem(x, c, delta):
    """Thomas, Theocharous & Ghavamzadeh, 2015, theorem 1, with its double sum."""
    n, y = len(x), np.minimum(x, c)
    scale = 1 / np.sum(np.full(n, 1 / c))
    pairs = sum((y[i] / c - y[j] / c) ** 2 for i in range(n) for j in range(n))
    return (
        scale * np.sum(y / c)
        - scale * 7 * n * math.log(2 / delta) / (3 * (n - 1))
        - scale * math.sqrt(math.log(2 / delta) / (n - 1) * pairs)
    )


def test_the_bound_is_that_of_the_theorem():
    x = np.random.default_rng(0).lognormal(size=30)
    for c in (0.5, 2.0, 100.0):
        assert bernstein(x, c, n=30, delta=0.05) == pytest.approx(theorem(x, c, 0.05))


def test_the_bound_holds_and_closes_in():
    """With heavy tails, where Student's lower end fails; and in whatever units."""
    rng = np.random.default_rng(0)
    below, student = [], []
    for _ in range(200):
        x = rng.pareto(1.6, size=60)  # its mean is 1 / 0.6
        below.append(lower_bound(x) <= 1 / 0.6)
        student.append(interval(x, "t", level=0.9).low <= 1 / 0.6)
    assert np.mean(below) == 1
    assert np.mean(student) > 0.95  # a lower end is safe where tails are to the right
    x = rng.uniform(size=20_000)
    assert 0.47 < lower_bound(x) < 0.5
    assert lower_bound(1000 * x) == pytest.approx(1000 * lower_bound(x))
    assert lower_bound(x, delta=0.5) > lower_bound(x, delta=0.01)


def test_returns_to_go():
    mdp, behaviour, _ = world()
    data = mdp.play(behaviour, 7, 5, np.random.default_rng(0))
    wanted = []
    for first, end in zip(data.starts[:-1], data.starts[1:], strict=True):
        for i in range(first, end):
            wanted.append(sum(GAMMA**k * r for k, r in enumerate(data.reward[i:end])))
    np.testing.assert_allclose(returns_to_go(data, GAMMA), wanted, rtol=1e-6)


def test_what_an_actor_would_have_been_handed():
    mdp, behaviour, _ = world()
    data = mdp.play(behaviour, 5, 4, np.random.default_rng(0))
    t = seen(data, np.arange(data.steps))
    np.testing.assert_array_equal(t.obs, seen_states(data))
    np.testing.assert_array_equal(np.flatnonzero(t.first), data.starts[:-1])
    for i in range(1, data.steps):
        assert t.reward[i] == (0 if t.first[i] else data.reward[i - 1])


def test_members_that_had_not_seen_it():
    said = np.array([[1.0, 2, 3], [5, 6, 7]])
    unseen = np.array([[True, False, False], [True, True, False]])
    np.testing.assert_array_equal(out_of_bag(said, unseen), [3, 6, 5])
