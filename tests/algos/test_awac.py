"""AWAC against the authors' box in float64 NumPy, and on a bandit whose answer is
known."""

import dataclasses

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from reference import Adam, assert_close, box, exact, mlp, polyak
from updates import (
    B,
    begin,
    BOXED,
    falling,
    GAMMA,
    learn,
    noises,
    normal_log_prob,
    numbers,
    q_values,
    RATE,
    settled,
    SMALL,
    squares,
    TAU,
)

from peira.algos.offline.awac import AWAC, plain_weights, softmax_weights
from peira.core import Discrete, Sample, Spec, Transition


def parts(actor, obs):
    """Mean and logarithm of the deviation."""
    log_std = -6 + 6 / (1 + np.exp(-actor.width))
    return np.tanh(mlp(actor.body, obs)), log_std


def drawn(actor, obs, noise):
    mean, log_std = parts(actor, obs)
    return mean + np.exp(log_std) * noise


@pytest.mark.parametrize("normalise", [True, False])
def test_is_the_paper(normalise):
    """Algorithm 1, three updates, with the authors' weights and with the paper's."""
    algorithm = AWAC(
        **SMALL | {"hidden": (4, 3)},
        critic_hidden=(4,),
        temperature=0.5,
        normalise=normalise,
        max_weight=0.9,
        weight_decay=0.1,
        standardise=normalise,
    )
    states, batches = learn(algorithm, BOXED)
    actor, critic = exact(states[0].actor.net), exact(states[0].critic.net)
    target_critic = critic
    adams = [Adam(x, rate=RATE) for x in (critic, actor)]
    capped = 0
    for batch, seed in batches:
        obs, unit, reward, terminated, next_obs, weight = numbers(
            batch, standard=normalise
        )
        k_next, k_now = jr.split(jr.key(seed))
        next_unit = drawn(actor, next_obs, noises(k_next, B))
        best = q_values(target_critic, next_obs, next_unit).min(axis=-1)
        y = reward + GAMMA * (1 - terminated) * best
        critic = adams[0].step(
            critic, lambda c, x=(obs, unit, y, weight): squares(c, *x)
        )
        mine = drawn(actor, obs, noises(k_now, B))
        both = (q_values(critic, obs, a).min(axis=-1) for a in (unit, mine))
        raw = np.exp(np.subtract(*both) / 0.5)
        capped += (raw > 0.9).sum()
        worth = B * raw / raw.sum() if normalise else np.minimum(raw, 0.9)

        def cloning(a, obs=obs, unit=unit, w=weight * worth):
            every = (*a.body.layers, a)
            decay = [x**2 for layer in every[:-1] for x in (layer.weight, layer.bias)]
            decay = sum(x.sum() for x in [*decay, a.width**2])
            log_prob = normal_log_prob(*parts(a, obs), unit)
            return -(w * log_prob).mean() + 0.1 / 2 * decay

        actor = adams[1].step(actor, cloning)
        target_critic = polyak(target_critic, critic, TAU)
    assert normalise or 0 < capped < 12
    last = states[-1]
    ours = (last.actor.net, last.critic.net, last.target_critic)
    assert_close(ours, (actor, critic, target_critic), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normalise", [True, False])
def test_a_bandit_is_cloned_by_its_weights(normalise):
    """The actor's mean and deviation are those of the data's actions under the weights
    `exp(r / λ)`: what the actor itself is worth is the same for all of them."""
    actions = np.array([-0.6, 0.0, 0.4], np.float32)
    reward = 2 * actions  # linear, so that a linear critic has it exactly
    n = 64  # of each: what is drawn in judging the actor averages out
    rep = lambda x: jnp.asarray(np.repeat(x, n, axis=0), jnp.float32)
    state, dead = jnp.zeros(3 * n, int), jnp.ones(3 * n, bool)
    steps = Transition(state, rep(actions)[:, None], rep(reward), dead, ~dead, state)
    batch = Sample(steps, jnp.ones(3 * n), jnp.arange(3 * n))
    algorithm = AWAC(
        hidden=(),
        critic_hidden=(),
        temperature=0.7,
        weight_decay=0.0,
        normalise=normalise,
        max_weight=1e6,
    )
    begun = begin(algorithm, Spec(Discrete(1), box(-1, 1, 1)))
    last, report = settled(algorithm, begun, batch, falling(0.03, 3000))
    weight = np.exp(reward / 0.7)
    mean = (weight * actions).sum() / weight.sum()
    std = np.sqrt((weight * (actions - mean) ** 2).sum() / weight.sum())
    pi = last.actor.net(jnp.array(0))
    np.testing.assert_allclose(pi.mean, [mean], atol=0.02)
    np.testing.assert_allclose(np.exp(pi.log_std), [std], atol=0.02)
    found = report["advantage"][-500:].mean()
    np.testing.assert_allclose(found, reward.mean() - 2 * mean, atol=0.05)


def test_weights_by_three_numbers():
    advantage = jnp.array([0.0, np.log(2.0), np.log(5.0)])
    soft = softmax_weights(advantage, temperature=1.0)
    np.testing.assert_allclose(soft, 3 * np.array([1, 2, 5]) / 8, rtol=1e-6)
    moved = softmax_weights(advantage + 7, temperature=1.0)
    np.testing.assert_allclose(moved, soft, rtol=1e-5)
    plain = plain_weights(advantage, temperature=0.5, most=10.0)
    np.testing.assert_allclose(plain, [1, 4, 10], rtol=1e-6)


def test_without_advantages_it_clones():
    """A great temperature makes all weights equal: both kinds are then cloning."""
    ends = []
    for normalise in (True, False):
        algorithm = AWAC(
            **SMALL, critic_hidden=(4,), temperature=1e9, normalise=normalise
        )
        ends.append(learn(algorithm, BOXED, 2)[0][-1].actor.net)
    assert_close(*ends, rtol=1e-5)


def test_the_authors_deviation_at_the_beginning():
    actor = begin(AWAC(**SMALL, critic_hidden=(4,)), BOXED).actor.net
    np.testing.assert_allclose(actor(jnp.zeros(3)).log_std, [-3, -3], rtol=1e-6)
    wide = dataclasses.replace(actor, width=jnp.array([-50.0, 50.0]))
    np.testing.assert_allclose(wide(jnp.zeros(3)).log_std, [-6, 0], atol=1e-5)
