"""Updates on made-up batches, and what their transcriptions in float64 share."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from reference import box, exact, made_up, member, mlp

from peira.core import Discrete, Facts, Sample, Spec


B, RATE, GAMMA, TAU = 4, 0.01, 0.9, 0.1
SMALL = {"learning_rate": RATE, "gamma": GAMMA, "tau": TAU, "hidden": (4,)}
MEAN, STD = np.array([0.1, -0.2, 0.3], "f4"), np.array([0.9, 1.1, 2.0], "f4")
FACTS = Facts(MEAN, STD, steps=9, episodes=2, longest=5, best=400.0, worst=-100.0)
BOXED = Spec(box(-2, 2, 3), box(-1, 3, 2), updates=8, data=FACTS)
CHOICES = dataclasses.replace(BOXED, action=Discrete(3))


def act(spec):
    """How actions of a space are made up."""
    if isinstance(spec.action, Discrete):
        return lambda rng, shape: rng.integers(0, 3, shape).astype(np.int32)
    return lambda rng, shape: rng.uniform(-1, 3, (*shape, 2)).astype(np.float32)


def sample(spec, seed):
    weight = np.random.default_rng(seed).uniform(0.2, 1, B)
    steps = made_up(seed, act(spec), B)
    return Sample(steps, jnp.asarray(weight, jnp.float32), jnp.arange(B))


def begin(algorithm, spec):
    """The state before any update."""
    return algorithm.init(spec, key=jr.key(0))


def learn(algorithm, spec, updates=3):
    """The states before and after some updates, and the batches with their seeds."""
    state = begin(algorithm, spec)
    update = jax.jit(lambda s, b, k: algorithm.update(s, b, key=k)[0])
    states, batches = [state], [(sample(spec, i), i) for i in range(updates)]
    for batch, seed in batches:
        states.append(update(states[-1], batch, jr.key(seed)))
    return states, batches


def numbers(batch, *, standard=False):
    """A batch in float64: observations as the dataset scales them where it does, and
    actions of a box of bounds -1 and 3 in units of them."""
    s = exact(batch.steps)
    obs, next_obs = s.obs, s.next_obs
    if standard:
        obs, next_obs = ((x - MEAN) / (STD + 1e-3) for x in (obs, next_obs))
    whole = batch.steps.action.dtype == np.int32
    action = s.action.astype(int) if whole else (s.action + 1) / 2 - 1
    return obs, action, s.reward, s.terminated, next_obs, exact(batch.weight)


def q_values(critic, obs, unit):
    """`(..., member)`, of observations and actions with the same leading axes."""
    x = np.concatenate([obs, unit], axis=-1)
    flat = x.reshape(-1, x.shape[-1])
    both = [mlp(member(critic, i).body, flat)[:, 0] for i in range(2)]
    return np.stack(both, axis=-1).reshape(*x.shape[:-1], 2)


def squashed(actor, obs, noise):
    """An action of a tanh-normal and its log-probability by the change of variables."""
    mean, log_std = np.split(mlp(actor.body, obs), 2, axis=-1)
    log_std = np.clip(log_std, -20, 2)
    x = mean + np.exp(log_std) * noise
    log_normal = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
    return np.tanh(x), (log_normal - np.log(1 - np.tanh(x) ** 2)).sum(axis=-1)


def noises(key, *shape):
    """The normal numbers that this many actions of two entries are drawn with."""
    keys = jr.split(key, shape)
    draw = lambda k: jr.normal(k, (2,))
    return exact(jax.vmap(draw)(keys.ravel())).reshape(*shape, 2)


def normal_log_prob(mean, log_std, x):
    z = (x - mean) / np.exp(log_std)
    return (-0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi)).sum(axis=-1)


def squares(critic, obs, unit, y, weight):
    """`Σᵢ E[w (Qᵢ - y)²]`."""
    td = q_values(critic, obs, unit) - y[:, None]
    return (weight[:, None] * td**2).sum(axis=-1).mean()


def settled(algorithm, state, batch, rates, key=None):
    """The state after updates on one batch over and over, each with its step size."""
    keys = jr.split(jr.key(0) if key is None else key, len(rates))

    def one(state, x):
        rate, key = x
        now = dataclasses.replace(algorithm, **dict.fromkeys(steps_of(algorithm), rate))
        state, report = now.update(state, batch, key=key)
        return state, report.metrics

    return jax.jit(lambda s: jax.lax.scan(one, s, (jnp.asarray(rates), keys)))(state)


def steps_of(algorithm):
    names = ("learning_rate", "actor_learning_rate")
    return [n for n in names if hasattr(algorithm, n)]


def falling(rate, updates):
    """Step sizes: constant for a while, then falling to nothing."""
    return rate * np.minimum(1, 2 - 2 * np.arange(updates) / updates).astype(np.float32)
