"""CQL against the authors' code in float64 NumPy, and on bandits whose conservative
values are known."""

import dataclasses
import functools as ft

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from reference import Adam, assert_close, box, exact, log_softmax, mlp, polyak
from updates import (
    B,
    begin,
    BOXED,
    CHOICES,
    falling,
    GAMMA,
    learn,
    noises,
    numbers,
    q_values,
    RATE,
    sample,
    settled,
    SMALL,
    squares,
    squashed,
    TAU,
)

from peira.algos.offline import cql
from peira.algos.offline.cql import CQL
from peira.algos.offline.cql_discrete import DiscreteCQL, quantile_loss
from peira.core import Discrete, Sample, Spec, Transition


SAMPLES = 3


def several(actor, obs, key):
    """Actions and log-probabilities, `(batch, sample, ...)`."""
    wide = np.repeat(obs[:, None], SAMPLES, axis=1)
    return squashed(actor, wide, noises(key, B, SAMPLES))


def proposals(actor, obs, next_obs, key):
    k_any, k_now, k_next = jr.split(key, 3)
    anything = exact(jr.uniform(k_any, (B, SAMPLES, 2), minval=-1.0, maxval=1.0))
    (now, p_now), (after, p_after) = (
        several(actor, *x) for x in ((obs, k_now), (next_obs, k_next))
    )
    density = np.full((B, SAMPLES), np.log(0.5**2))
    actions = np.concatenate([anything, after, now], axis=1)
    return actions, np.concatenate([density, p_after, p_now], axis=1)


def gaps(critic, obs, unit, actions, log_density):
    wide = np.repeat(obs[:, None], 3 * SAMPLES, axis=1)
    q = q_values(critic, wide, actions) - log_density[..., None]
    return np.log(np.exp(q).sum(axis=1)) - q_values(critic, obs, unit)


def targets(critic, actor, alpha, backup, next_obs, key):
    """What comes after, by each way of backing up."""
    if backup == "best":
        actions, _ = several(actor, next_obs, key)
        wide = np.repeat(next_obs[:, None], SAMPLES, axis=1)
        return q_values(critic, wide, actions).max(axis=1).min(axis=-1)
    unit, log_prob = squashed(actor, next_obs, noises(key, B))
    soft = alpha * log_prob if backup == "entropy" else 0
    return q_values(critic, next_obs, unit).min(axis=-1) - soft


@pytest.mark.parametrize(
    ("backup", "threshold", "automatic"),
    [("policy", None, True), ("entropy", 2.0, True), ("best", None, False)],
)
def test_is_the_paper(backup, threshold, automatic):
    """Algorithm 1 by the authors' code, three updates, steps in SAC's order."""
    algorithm = CQL(
        **SMALL,
        actor_learning_rate=RATE / 2,
        alpha=0.5,
        automatic=automatic,
        min_q_weight=0.7,
        samples=SAMPLES,
        backup=backup,
        threshold=threshold,
        standardise=automatic,
    )
    states, batches = learn(algorithm, BOXED)
    actor, critic = exact(states[0].actor.net), exact(states[0].critic.net)
    log_alpha, log_w, target_critic = np.log(np.array(0.5)), np.array(0.0), critic
    trees = (critic, log_w, actor, log_alpha)
    rates = (RATE, RATE, RATE / 2, RATE / 2)
    adams = [Adam(x, rate=r) for x, r in zip(trees, rates, strict=True)]
    for batch, seed in batches:
        obs, unit, reward, terminated, next_obs, weight = numbers(
            batch, standard=automatic
        )
        alpha, factor = np.exp(log_alpha), 0.7
        if threshold:
            factor *= np.exp(log_w)
        k_target, k_actor, k_several = jr.split(jr.key(seed), 3)
        best = targets(target_critic, actor, alpha, backup, next_obs, k_target)
        y = reward + GAMMA * (1 - terminated) * best
        judges = proposals(actor, obs, next_obs, k_several)

        def wide(c, obs=obs, unit=unit, weight=weight, judges=judges):
            return (weight[:, None] * gaps(c, obs, unit, *judges)).mean(axis=0)

        def loss(c, obs=obs, unit=unit, y=y, weight=weight, wide=wide, factor=factor):
            return squares(c, obs, unit, y, weight) + factor * wide(c).sum()

        excess = 0.7 * wide(critic).mean() - (threshold or 0)
        critic = adams[0].step(critic, loss)
        if threshold:
            log_w = adams[1].step(log_w, lambda w, e=excess: -np.exp(w) * e)
        noise = noises(k_actor, B)

        def regret(a, obs=obs, noise=noise, alpha=alpha, critic=critic):
            mine, log_prob = squashed(a, obs, noise)
            return (alpha * log_prob - q_values(critic, obs, mine).min(axis=-1)).mean()

        log_prob = squashed(actor, obs, noise)[1].mean()
        actor = adams[2].step(actor, regret)
        if automatic:
            climb = lambda la, p=log_prob: -la * (p - 2)
            log_alpha = adams[3].step(log_alpha, climb)
        target_critic = polyak(target_critic, critic, TAU)
    last = states[-1]
    nets = (last.actor, last.critic, last.log_alpha, last.log_multiplier)
    ours = (*(x.net for x in nets), last.target_critic)
    wanted = (actor, critic, log_alpha, log_w, target_critic)
    assert_close(ours, wanted, rtol=1e-4, atol=1e-5)


def spread(net, obs, quantiles):
    return mlp(net.body, obs).reshape(len(obs), 3, quantiles)


@pytest.mark.parametrize(
    ("quantiles", "double", "masked"), [(1, True, False), (4, False, True)]
)
def test_discrete_is_the_paper(quantiles, double, masked):
    """QR-DQN's algorithm 1 with eq. 4's penalty, three updates."""
    algorithm = DiscreteCQL(
        gamma=GAMMA,
        hidden=(4,),
        learning_rate=0.2,
        min_q_weight=0.7,
        quantiles=quantiles,
        double=double,
        target_every=2,
    )
    spec = dataclasses.replace(CHOICES, masked=masked)
    net = exact(begin(algorithm, spec).net.net)
    adam, old = Adam(net, rate=0.2, eps=0.01 / 32), net
    rows, taus = np.arange(B), (np.arange(quantiles) + 0.5) / quantiles
    state, huge, apart = begin(algorithm, spec), 0, 0
    update = jax.jit(lambda s, b: algorithm.update(s, b, key=jr.key(0))[0])
    for count in range(3):
        batch = sample(spec, count)
        legal, next_legal = np.ones((2, B, 3), bool)
        more = {"reward": 3 * batch.steps.reward}
        if masked:
            legal[rows, (np.asarray(batch.steps.action) + 1) % 3] = False
            next_legal[rows, batch.steps.action] = False
            more |= {"legal": jnp.asarray(legal), "next_legal": jnp.asarray(next_legal)}
        steps = dataclasses.replace(batch.steps, **more)
        batch = Sample(steps, batch.weight, batch.index)
        obs, action, reward, terminated, next_obs, weight = numbers(batch)
        state = update(state, batch)
        online, slow = (
            np.where(next_legal, spread(n, next_obs, quantiles).mean(-1), -np.inf)
            for n in (net, old)
        )
        best = (online if double else slow).argmax(axis=-1)
        apart += (online.argmax(axis=-1) != slow.argmax(axis=-1)).sum()
        after = spread(old, next_obs, quantiles)[rows, best]
        y = reward[:, None] + GAMMA * (1 - terminated)[:, None] * after

        def loss(n, obs=obs, action=action, y=y, weight=weight, legal=legal):
            theta = spread(n, obs, quantiles)
            u = y[:, None, :] - theta[rows, action][:, :, None]
            huber = np.where(np.abs(u) <= 1, u**2 / 2, np.abs(u) - 0.5)
            each = np.abs(taus[None, :, None] - (u < 0)) * huber
            every = np.where(legal, theta.mean(axis=-1), -np.inf)
            soft = np.log(np.exp(every).sum(axis=-1)) - every[rows, action]
            return (weight * (each.mean(axis=2).sum(axis=1) + 0.7 * soft)).mean()

        huge += (np.abs(y) > 1.5).sum()
        net = adam.step(net, loss)
        if count == 1:
            old = net
    assert huge > 0  # some errors lie beyond the parabola
    assert apart > 0  # and it matters whose choice it is
    assert_close(state.net.net, net, rtol=1e-4, atol=1e-5)
    assert_close(state.target, old, rtol=1e-4, atol=1e-5)


def once(states, actions, rewards, kind):
    """Steps that are all deaths, in one batch."""
    dead = jnp.ones(len(rewards), bool)
    s, r = jnp.asarray(states, jnp.int32), jnp.asarray(rewards, jnp.float32)
    steps = Transition(s, jnp.asarray(actions, kind), r, dead, ~dead, s)
    return Sample(steps, jnp.ones(len(rewards)), jnp.arange(len(rewards)))


def test_the_fixed_point_of_a_bandit_of_choices():
    """`Q = r - 2 w (softmax Q / π_b - 1)`, what theorem 3.2 says of a table, where half
    of half the squared error is minimised: below the truth for the policy that the
    values make, and unmoved where that is the behaviour."""
    times, reward, w = np.array([5, 2, 1]), np.array([0.5, 0.8, 0.1]), 0.05
    share = times / times.sum()
    uniform = np.repeat(np.arange(3), 2)
    batch = once(
        np.r_[np.zeros(8), np.ones(6)],
        np.r_[np.repeat(np.arange(3), times), uniform],
        np.r_[np.repeat(reward, times), np.full(6, 0.4)],
        jnp.int32,
    )
    algorithm = DiscreteCQL(hidden=(), quantiles=1, min_q_weight=w, gamma=0.0)
    begun = begin(algorithm, Spec(Discrete(2), Discrete(3)))
    state, _ = settled(algorithm, begun, batch, falling(0.02, 4000))
    table = np.asarray(jax.vmap(state.net.net)(jnp.arange(2)), np.float64)
    q = reward.copy()
    for _ in range(10_000):  # down the convex loss of the table
        pi = np.exp(log_softmax(q))
        q -= 0.1 * (share * (q - reward) / 2 + w * (pi - share))
    np.testing.assert_allclose(q, reward - 2 * w * (pi / share - 1), atol=1e-6)
    np.testing.assert_allclose(table[0], q, atol=2e-3)
    np.testing.assert_allclose(table[1], np.full(3, 0.4), atol=2e-3)
    assert (pi * table[0]).sum() < (pi * reward).sum()
    assert np.abs(table[0] - reward).max() > 0.05


def test_many_quantiles_are_those_of_the_returns():
    """Without conservatism, on a reward that is one of eight numbers as often."""
    reward = np.arange(8) / 8
    algorithm = DiscreteCQL(hidden=(), quantiles=4, min_q_weight=0.0)
    begun = begin(algorithm, Spec(Discrete(1), Discrete(1)))
    batch = once(np.zeros(8), np.zeros(8), 8000 * reward, jnp.int32)
    wanted = [500, 2500, 4500, 6500]  # any number between neighbours is a quantile
    state, _ = settled(algorithm, begun, batch, falling(30.0, 4000))
    found = np.asarray(state.net.net.spread(jnp.array(0)))[0]
    np.testing.assert_allclose(found, wanted, atol=501)


def test_one_quantile_is_half_of_hubers_loss():
    guess, y = jnp.array([0.3]), jnp.array([0.7])
    assert quantile_loss(guess, y) == pytest.approx(0.4**2 / 4)
    assert quantile_loss(y, guess + 3) == pytest.approx((2.6 - 0.5) / 2)


LINE = Spec(Discrete(1), box(-1, 1, 1))


def line(slope, height):
    """Both critics as `slope a + height`."""
    critic = begin(CQL(hidden=()), LINE).critic.net
    where = lambda c: [c.members.body.layers[0].weight, c.members.body.layers[0].bias]
    weight = jnp.tile(jnp.array([height, slope])[None, :, None], (2, 1, 1))
    return eqx.tree_at(where, critic, [weight, jnp.zeros((2, 1))])


def log_integral(slope):
    """Of `exp(slope a)` over [-1, 1]."""
    return np.log(2 * np.sinh(slope) / slope)


def test_the_gap_of_a_line():
    """By importance sampling as in closed form, whatever the policy that proposes."""
    n = 3000
    batch = once(np.zeros(4), np.full((4, 1), 0.25), np.zeros(4), jnp.float32)
    plain = begin(CQL(hidden=()), LINE).actor.net
    where = lambda a: [a.body.layers[0].weight, a.body.layers[0].bias]
    for seed, normal in enumerate(([0.0, 0.4], [0.7, 0.3])):
        actor = eqx.tree_at(where, plain, [jnp.zeros((1, 2)), jnp.array(normal)])
        judges = cql.proposals(actor, batch.steps, n, key=jr.key(seed))
        for slope, height in ((1.5, 0.0), (1.5, 7.0), (-0.7, 1.0)):
            found = cql.gap(line(slope, height), batch.steps, *judges)
            wanted = log_integral(slope) + np.log(3 * n) - 0.25 * slope
            np.testing.assert_allclose(found, np.full((4, 2), wanted), atol=0.06)


@ft.cache
def conservative(threshold):
    """Critics on a bandit whose reward is `4 a`, with the data's actions at ± 1/2."""
    batch = once(np.zeros(8), np.tile([[-0.5], [0.5]], (4, 1)), [-2.0, 2.0] * 4, "f4")
    algorithm = CQL(
        hidden=(), samples=30, min_q_weight=0.5, threshold=threshold, alpha=1.0
    )
    state = begin(algorithm, LINE)
    state, report = settled(algorithm, state, batch, falling(0.02, 4000))
    net = state.critic.net.members.body.layers[0]
    height, slope = (
        np.asarray(net.weight)[..., 0].T + [[1], [0]] * np.asarray(net.bias).T
    )
    np.testing.assert_allclose(height, [0, 0], atol=0.03)  # as the rewards
    return slope, jax.tree.map(np.asarray, report)


def slope_under(weight):
    """Where `Σ (w a - 4 a)² / n + weight (log ∫ exp(w a) da)` is least, by halving."""
    low, high = 1e-3, 4.0
    for _ in range(60):
        w = (low + high) / 2
        slope = 0.5 * (w - 4) + weight * (1 / np.tanh(w) - 1 / w)
        low, high = (w, high) if slope < 0 else (low, w)
    return w


def test_the_fixed_point_of_a_bandit_of_numbers():
    slopes, report = conservative(None)
    np.testing.assert_allclose(slopes, slope_under(0.5), rtol=0.03)
    assert slope_under(0.5) < 3.5  # and not the 4 of the rewards
    np.testing.assert_allclose(report["min_q_weight"], 0.5)


def test_the_multiplier_moves_the_gap_to_its_threshold():
    """And it is the one under which the critics' loss is least there."""
    wanted = log_integral(2.5) + np.log(90)
    slopes, report = conservative(0.5 * wanted)
    assert report["gap"][-500:].mean() == pytest.approx(wanted, abs=0.03)
    np.testing.assert_allclose(slopes, 2.5, atol=0.1)
    weight = report["min_q_weight"][-500:].mean()
    assert slope_under(weight) == pytest.approx(2.5, abs=0.1)
    assert weight > 0.7  # it had to rise
