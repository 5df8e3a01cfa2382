"""Batches and runs that the tests of behaviour-regularised methods share."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from reference import box, exact, made_up, member, mlp

from peira.core import Sample, Spec, TimeStep, Transition


B, ACT = 4, 2
BOX, OBS = box(-1, 3, ACT), box(-2, 2, 3)


def uniform(rng, shape):
    return rng.uniform(-1, 3, (*shape, ACT)).astype(np.float32)


def choice(rng, shape):
    return rng.integers(0, 3, shape).astype(np.int32)


def among(legal):
    """A choice that is legal, for every item."""

    def action(rng, shape):
        return np.array([rng.choice(np.flatnonzero(m)) for m in legal], np.int32)

    return action


def sample(seed, action, *window, legal=None):
    weight = jnp.asarray(np.random.default_rng(seed).uniform(0.2, 1, B), jnp.float32)
    steps = made_up(seed, action, B, *window)
    masks = None if legal is None else jnp.asarray(legal)
    steps = dataclasses.replace(steps, legal=masks, next_legal=masks)
    return Sample(steps, weight, jnp.arange(B))


def numbers(batch):
    """Observation, action in units of its bounds, reward, terminated, successor."""
    s = exact(batch.steps)
    return s.obs, (s.action + 1) / 2 - 1, s.reward, s.terminated, s.next_obs


def learn(algorithm, spec, action, updates, *window, legal=None):
    """The states before and after some updates; the batches with their keys."""
    state = algorithm.init(spec, key=jr.key(0))
    update = jax.jit(lambda s, b, k: algorithm.update(s, b, key=k)[0])
    deal = lambda i: sample(i, action, *window, legal=legal)
    batches = [(deal(i), i + 1) for i in range(updates)]
    states = [state]
    for batch, seed in batches:
        states.append(update(states[-1], batch, jr.key(seed)))
    return states, batches


def q_values(critic, obs, unit):
    """What every critic makes of some actions, `(..., member)`."""
    x = np.concatenate([obs, unit], axis=-1)
    n = critic.members.body.layers[0].bias.shape[0]
    return np.stack([mlp(member(critic, i).body, x)[..., 0] for i in range(n)], axis=-1)


def blend(q, weight):
    return weight * q.min(axis=-1) + (1 - weight) * q.max(axis=-1)


def bellman(critic, obs, unit, y, weight):
    td = q_values(critic, obs, unit) - y[:, None]
    return (weight[:, None] * td**2).sum(axis=-1).mean()


def repeated(obs, n):
    """The same observations for each of n actions: `(batch, n, ...)`."""
    return np.broadcast_to(obs[:, None], (len(obs), n, *obs.shape[1:]))


def vae_loss(vae, obs, unit, noise):
    """Reconstruction and half the KL, entry by entry."""
    x = mlp(vae.encoder, np.concatenate([obs, unit], axis=-1))
    mean, log_std = np.split(x, 2, axis=-1)
    log_std = np.clip(log_std, -4, 15)
    again = np.tanh(decoded(vae, obs, mean + np.exp(log_std) * noise))
    kl = -0.5 * (1 + 2 * log_std - mean**2 - np.exp(2 * log_std))
    return ((again - unit) ** 2).mean() + 0.5 * kl.mean()


def decoded(vae, obs, z):
    return mlp(vae.decoder, np.concatenate([obs, z], axis=-1))


def episodes_of_one(obs, action, reward):
    """Steps that all die at once."""
    n = len(reward)
    real = lambda x: jnp.asarray(x, jnp.float32)
    yes, no = jnp.ones(n, bool), jnp.zeros(n, bool)
    return Transition(real(obs), real(action), real(reward), yes, no, real(obs))


def taught(algorithm, spec, steps, updates, *, batch=64, seed=0):
    """The state after so many updates from these steps, and the last reports."""
    n = len(steps.reward)

    def update(state, k):
        k_draw, k_update = jr.split(k)
        at = jr.randint(k_draw, (batch,), 0, n)
        dealt = Sample(jax.tree.map(lambda x: x[at], steps), jnp.ones(batch), at)
        state, report = algorithm.update(state, dealt, key=k_update)
        return state, report.metrics

    @jax.jit
    def run(key):
        k_init, k_updates = jr.split(key)
        state = algorithm.init(spec, key=k_init)
        return jax.lax.scan(update, state, jr.split(k_updates, updates))

    return run(jr.key(seed))


def shown(algorithm, state, obs):
    """What the policy shows where this is seen."""
    t = TimeStep(jnp.asarray(obs, jnp.float32), jnp.zeros(()), jnp.array(False))
    act = lambda s: algorithm.policy(s)((), t, key=jr.key(0), explore=False)[0]
    return np.asarray(jax.jit(act)(state))


ONE = Spec(box(0, 1, 1), box(-1, 1, 1))
"""A number is seen and a number is done."""
