"""IQL against the paper in float64 NumPy, and on problems whose answers are known."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from reference import Adam, assert_close, box, exact, log_softmax, member, mlp, polyak
from updates import (
    begin,
    BOXED,
    CHOICES,
    FACTS,
    falling,
    GAMMA,
    learn,
    normal_log_prob,
    numbers,
    q_values,
    RATE,
    sample,
    settled,
    SMALL,
    TAU,
)

from peira.algos.offline.iql import actor_loss, IQL
from peira.core import Discrete, Sample, Spec, Transition


def choice_values(critic, obs, action):
    all_q = [mlp(member(critic, i).head.body, obs) for i in range(2)]
    return np.stack(all_q, axis=-1)[np.arange(len(action)), action]


def choice_log_prob(actor, obs, action):
    return log_softmax(mlp(actor.body, obs))[np.arange(len(action)), action]


def number_log_prob(actor, obs, action):
    log_std = np.clip(actor.log_std, -5, 2)
    return normal_log_prob(np.tanh(mlp(actor.body, obs)), log_std, action)


@pytest.mark.parametrize(
    ("spec", "values", "log_prob", "standard"),
    [
        (BOXED, q_values, number_log_prob, False),
        (CHOICES, choice_values, choice_log_prob, True),
    ],
    ids=["numbers", "choices"],
)
def test_is_the_paper(spec, values, log_prob, standard):
    """Equations 5 to 7 in the authors' order, three updates."""
    algorithm = IQL(
        **SMALL, inverse_temperature=2.0, max_weight=0.7, standardise=standard
    )
    states, batches = learn(algorithm, spec)
    first = states[0]
    actor, critic, value = (
        exact(x.net) for x in (first.actor, first.critic, first.value)
    )
    target_critic = critic
    adams = [Adam(x, rate=RATE) for x in (value, actor, critic)]
    capped = 0
    for count, (batch, _) in enumerate(batches):
        obs, action, reward, terminated, next_obs, weight = numbers(
            batch, standard=standard
        )
        q = values(target_critic, obs, action).min(axis=-1)

        def expectile(v, obs=obs, q=q, weight=weight):
            u = q - mlp(v.body, obs)[:, 0]
            return (weight * np.abs(0.7 - (u < 0)) * u**2).mean()

        value = adams[0].step(value, expectile)
        raw = np.exp(2 * (q - mlp(value.body, obs)[:, 0]))
        capped += (raw > 0.7).sum()
        worth = weight * np.minimum(raw, 0.7)

        def cloning(a, obs=obs, action=action, worth=worth):
            return -(worth * log_prob(a, obs, action)).mean()

        rate = RATE * (1 + np.cos(np.pi * count / 8)) / 2
        actor = adams[1].step(actor, cloning, rate=rate)
        after = mlp(value.body, next_obs)[:, 0]
        y = 1000 / 500 * reward + GAMMA * (1 - terminated) * after

        def bellman(c, obs=obs, action=action, y=y, weight=weight):
            td = values(c, obs, action) - y[:, None]
            return (weight[:, None] * td**2).sum(axis=-1).mean()

        critic = adams[2].step(critic, bellman)
        target_critic = polyak(target_critic, critic, TAU)
    assert 0 < capped < 12  # some weights were capped, some not
    last = states[-1]
    ours = (last.actor.net, last.critic.net, last.value.net, last.target_critic)
    assert_close(ours, (actor, critic, value, target_critic), rtol=1e-4, atol=1e-5)


# state, action, reward, next state, terminated, how often
TABLE = [
    (0, 0, 1.0, 0, True, 2),
    (0, 1, 0.0, 1, False, 1),
    (1, 0, 0.5, 2, False, 1),
    (1, 1, 3.0, 1, True, 1),
    (1, 2, -1.0, 1, True, 2),
    (2, 0, 2.0, 0, False, 1),  # cut by a clock
    (2, 2, 0.0, 2, True, 1),
]


def batch_of(rows, action=jnp.int32):
    """Every row as often as it says, in one batch."""
    s, a, r, after, dead, times = (np.array(x) for x in zip(*rows, strict=True))
    rep = lambda x, dtype: jnp.asarray(np.repeat(x, times, axis=0), dtype)
    dead = rep(dead, bool)
    steps = Transition(
        rep(s, jnp.int32),
        rep(a, action),
        rep(r, jnp.float32),
        dead,
        ~dead & (rep(s, jnp.int32) == 2),
        rep(after, jnp.int32),
    )
    return Sample(steps, jnp.ones(len(dead)), jnp.arange(len(dead)))


def expectile_of(x, p, tau):
    """The expectile of a distribution, by halving."""
    low, high = x.min(), x.max()
    for _ in range(100):
        m = (low + high) / 2
        up = (p * np.where(x > m, tau, 1 - tau) * (x - m)).sum() > 0
        low, high = (m, high) if up else (low, m)
    return m


def fixed_point(aggregate):
    """The values `V(s) = aggregate(Q(s, a), μ(a|s))` and Q of every row."""
    s, _, r, after, dead, times = (np.array(x) for x in zip(*TABLE, strict=True))
    v = np.zeros(3)
    for _ in range(300):
        q = r + GAMMA * np.where(dead, 0, v[after])
        own = [(q[s == i], times[s == i] / times[s == i].sum()) for i in range(3)]
        v = np.array([aggregate(*x) for x in own])
    return v, q


def test_values_go_from_the_behaviours_to_the_best_in_the_data():
    """τ = 1/2 gives the solution of the behaviour's linear system, τ near 1 the best of
    what is in the data; and the policy is the closed form of weighted cloning."""
    algorithm = IQL(
        gamma=GAMMA,
        tau=1.0,
        hidden=(),
        anneal=False,
        inverse_temperature=1.0,
        max_weight=1.5,
    )
    spec = Spec(Discrete(3), Discrete(3))
    taus = np.array([0.5, 0.8, 0.999], np.float32)

    @jax.jit
    @jax.vmap
    def solve(tau):
        mine = dataclasses.replace(algorithm, expectile=tau)
        state = mine.init(spec, key=jr.key(0))
        state, _ = settled(mine, state, batch_of(TABLE), falling(0.05, 4000))
        each = jnp.arange(3)
        table = lambda net: jax.vmap(net)(each)
        head = jax.tree.map(lambda x: x[0], state.critic.net.members).head
        pi = table(state.actor.net).logits
        return table(state.value.net), table(head), jnp.exp(pi)

    s, a, _, _, _, times = (np.array(x) for x in zip(*TABLE, strict=True))
    for tau, v, q, pi in zip(taus, *map(np.asarray, solve(taus)), strict=True):
        wanted, every = fixed_point(lambda x, p, t=tau: expectile_of(x, p, t))
        np.testing.assert_allclose(v, wanted, atol=0.01)
        np.testing.assert_allclose(q[s, a], every, atol=0.01)
        weight = times * np.minimum(np.exp(every - wanted[s]), 1.5)
        clone = np.zeros((3, 3))
        clone[s, a] = weight
        clone /= clone.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(pi, clone, atol=0.01)
    # the two ends again, each by its own definition
    follow = np.zeros((3, 3))
    pay = np.zeros(3)
    for i, _, reward, to, dies, n in TABLE:
        share = n / times[s == i].sum()
        follow[i, to] += share * (not dies)
        pay[i] += share * reward
    sarsa = np.linalg.solve(np.eye(3) - GAMMA * follow, pay)
    best, _ = fixed_point(lambda x, p: x.max())
    found = np.asarray(solve(taus)[0])
    np.testing.assert_allclose(found[0], sarsa, atol=0.01)
    np.testing.assert_allclose(found[-1], best, atol=0.2)
    assert (np.diff(found, axis=0) > 0.1).all()


def test_a_bandit_of_numbers_is_cloned_by_its_weights():
    """The actor's mean and deviation are those of the data's actions under the weights
    `min(exp(β A), cap)`, with A from the expectile in closed form."""
    actions = np.array([-0.8, -0.1, 0.5], np.float32)
    reward = 1 + 2 * actions  # linear, so that a linear critic has it exactly
    rows = [(0, [a], r, 0, True, 1) for a, r in zip(actions, reward, strict=True)]
    algorithm = IQL(hidden=(), tau=1.0, anneal=False, max_weight=4.0, expectile=0.8)
    spec = Spec(Discrete(1), box(-1, 1, 1))
    state = begin(algorithm, spec)
    batch = batch_of(rows, jnp.float32)
    state, report = settled(algorithm, state, batch, falling(0.03, 3000))
    v = expectile_of(reward, np.full(3, 1 / 3), 0.8)
    np.testing.assert_allclose(state.value.net(jnp.array(0)), v, atol=0.01)
    weight = np.minimum(np.exp(3 * (reward - v)), 4.0)
    assert (weight == 4).sum() == 1
    mean = (weight * actions).sum() / weight.sum()
    std = np.sqrt((weight * (actions - mean) ** 2).sum() / weight.sum())
    pi = state.actor.net(jnp.array(0))
    np.testing.assert_allclose(pi.mean, [mean], atol=0.01)
    np.testing.assert_allclose(np.exp(pi.log_std), [std], atol=0.01)
    np.testing.assert_allclose(report["value"][-1], reward.mean(), atol=0.01)
    np.testing.assert_allclose(report["weight"][-1], weight.mean(), atol=0.05)


@pytest.fixture(scope="module")
def once():
    """One update, of any spec and batch."""
    algorithm = IQL(**SMALL)

    update = jax.jit(lambda s, b: algorithm.update(s, b, key=jr.key(0)))
    return lambda spec, batch: update(begin(algorithm, spec), batch)


def test_the_unit_of_rewards_does_not_matter(once):
    batch = sample(BOXED, 0)
    dear = dataclasses.replace(batch.steps, reward=8 * batch.steps.reward)
    facts = dataclasses.replace(FACTS, best=8 * 400.0, worst=8 * -100.0)
    plain, told = once(BOXED, batch)
    spec = dataclasses.replace(BOXED, data=facts)
    other, said = once(spec, Sample(dear, batch.weight, batch.index))
    assert_close(other.actor, plain.actor, rtol=1e-5)
    assert_close(other.critic.net, plain.critic.net, rtol=1e-5)
    np.testing.assert_allclose(said.metrics["value"], 8 * told.metrics["value"], 1e-5)


def test_one_return_for_all_episodes_leaves_rewards_as_they_are(once):
    flat = dataclasses.replace(FACTS, best=3.0, worst=3.0)
    for data in (flat, None):
        state, _ = once(dataclasses.replace(BOXED, data=data), sample(BOXED, 0))
        assert state.unit == 1


def test_nothing_follows_a_death_and_the_order_of_a_batch_is_nothing(once):
    batch = sample(CHOICES, 1)
    dead = batch.steps.terminated
    assert 0 < dead.sum() < 4
    plain = once(CHOICES, batch)[0]
    far = jnp.where(dead[:, None], 9.0, batch.steps.next_obs)
    steps = dataclasses.replace(batch.steps, next_obs=far)
    other = once(CHOICES, Sample(steps, batch.weight, batch.index))[0]
    assert_close(other, plain, rtol=0, atol=0)
    back = jax.tree.map(lambda x: x[::-1], batch)
    assert_close(once(CHOICES, back)[0], plain, rtol=1e-4, atol=1e-6)


def test_what_weighs_nothing_teaches_nothing(once):
    batch = sample(BOXED, 2)
    weight = batch.weight.at[0].set(0.0)
    other = jax.tree.map(lambda x: x.at[0].set(x[1]), batch.steps)
    first = once(BOXED, Sample(batch.steps, weight, batch.index))[0]
    assert_close(once(BOXED, Sample(other, weight, batch.index))[0], first, rtol=1e-6)


def test_illegal_choices_do_not_share_in_cloning():
    """Preferences are among the legal choices only."""
    actor = begin(IQL(**SMALL), CHOICES).actor.net
    batch = sample(CHOICES, 3)
    obs, action, *_, weight = numbers(batch)
    rows, barred = np.arange(4), (action + 1) % 3
    legal = jnp.ones((4, 3), bool).at[rows, barred].set(False)
    steps = dataclasses.replace(batch.steps, legal=legal)
    loss, log_prob = actor_loss(actor, steps, batch.weight)
    logits = mlp(exact(actor).body, obs)
    logits[rows, barred] = -np.inf
    wanted = log_softmax(logits)[rows, action]
    np.testing.assert_allclose(log_prob, wanted.mean(), rtol=1e-5)
    np.testing.assert_allclose(loss, -(weight * wanted).mean(), rtol=1e-5)


def test_the_authors_bounds_of_the_deviation():
    actor = begin(IQL(**SMALL), BOXED).actor.net
    wide = dataclasses.replace(actor, log_std=jnp.array([-50.0, 50.0]))
    np.testing.assert_allclose(wide(jnp.zeros(3)).log_std, [-5, 2])
