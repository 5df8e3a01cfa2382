"""One mistake for every promise, each a part of `broken.learner`; and algorithms whose
fields are the mistake."""

import dataclasses
import functools as ft
import itertools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from broken import bellman, epsilon, learner, State
from jax.custom_batching import custom_vmap
from jax.experimental import io_callback

from peira.core import Algorithm, Box, Discrete, Report, Transition, Unit
from peira.data import Replay


traced, played = itertools.count(), itertools.count()


def counting(weights):
    """Hangs on how often it was traced."""
    return weights + 1e-9 * next(traced)


def noisy(weights):
    """Hangs on a generator of random numbers outside."""
    noise = np.random.default_rng().random(weights.shape, np.float32)
    return weights + 1e-6 * noise


def restless(weights):
    """Hangs on how often it was run: every third time it is the same."""
    turn = lambda: np.float32(next(played) % 3)
    tick = io_callback(turn, jax.ShapeDtypeStruct((), jnp.float32))
    return weights + 1e-6 * tick


@custom_vmap
def sociable(weights):
    return weights


@sociable.def_vmap
def _(size, batched, weights):
    return 1.05 * weights, True


@custom_vmap
def shy(q):
    return q


@shy.def_vmap
def _(size, batched, q):
    """The other way round among 32."""
    return -q if size == 32 else q, True


def narrow(*args, **how):
    action, carry = epsilon(*args, **how)
    return action.astype(jnp.int8), carry


def moody(state, carry, t, *, key, explore):
    return epsilon(state, carry, t, key=key, explore=True)


def methodical(state, carry, t, *, key, explore):
    """Explores by the count of updates instead of by chance."""
    shown, carry = epsilon(state, carry, t, key=key, explore=False)
    return jnp.where(explore & (state.step % 2 == 0), state.step // 2 % 2, shown), carry


def thrifty(state, carry, t, *, key, explore):
    """One key for two purposes."""
    action, carry = epsilon(state, carry, t, key=key, explore=False)
    roam = explore & (jr.uniform(key) < 0.3)
    return jnp.where(roam, jr.randint(key, (), 0, 2, jnp.int32), action), carry


def careless(state, carry, t, *, key, explore):
    """One key for two purposes, where it shows what to do."""
    action, carry = epsilon(state, carry, t, key=key, explore=explore)
    if explore:
        return action, carry
    return jnp.where(jr.uniform(key) + jr.uniform(key) < 2, action, 0), carry


def endless(state, carry, t, *, key, explore):
    """Counts its steps, whatever episode they are of."""
    action, _ = epsilon(state, (), t, key=key, explore=explore)
    return action, carry + 1.0


def lottery(state, carry, t, *, key, explore):
    """A real action: the chance of the second way, from -1 to 1."""
    shown, carry = epsilon(state, carry, t, key=key, explore=False)
    chance = jr.uniform(key) if explore else shown.astype(jnp.float32)
    return jnp.atleast_1d(2 * chance - 1), carry


def drawn(q, action):
    """What a lottery is worth."""
    chance = (1 + action[..., 0]) / 2
    return q[..., 0] + chance * (q[..., 1] - q[..., 0])


def additive(weights, obs):
    """The same preferences in every state."""
    return obs @ weights[:-1].mean(axis=1) + weights[-1]


def through_death(steps, after, gamma):
    return steps.reward + gamma * after


def clock_is_death(steps, after, gamma):
    return steps.reward + gamma * jnp.where(steps.over, 0.0, after)


def two_rewards(steps, after, gamma):
    """Nothing is bootstrapped but where time runs out or the rollout ends."""
    later = jnp.concatenate([steps.reward[1:], after[-1:]])
    later = jnp.where(steps.truncated, after, later)
    return steps.reward + gamma * jnp.where(steps.terminated, 0.0, later)


def next_episode(steps):
    """The next observation for the successor, whatever episode it is of."""
    later = jnp.concatenate([steps.obs[1:], steps.next_obs[-1:]])
    return dataclasses.replace(steps, next_obs=later)


# Checks that are made together, because they share what is compiled.
GROUPS = {
    "form": (
        "works",
        "structure",
        "declared",
        "explained",
        "bounded",
        "observations",
        "keys",
    ),
    "learning": ("pure", "repeats", "reports", "resumes"),
    "sweeping": ("alive", "seeds", "sweeps"),
    "acting": ("spaces", "shows", "explores", "alone", "memory"),
    "deciding": (
        "choice",
        "observation",
        "termination",
        "truncation",
        "auto-reset",
        "delay",
        "discount",
        "masks",
    ),
}
REAL = {"space": Box, "rule": lottery, "chosen": drawn}
MISTAKES: list[tuple[str, dict[str, Any]]] = [
    ("works", {"target": lambda *_: 1 / 0}),
    ("structure", {"count": lambda step: step + 1.0}),
    ("structure", {"blank": lambda: jnp.zeros((), int), "rule": endless}),
    ("declared", {"release": 0}),
    ("observations", {"refuse": TypeError}),
    ("keys", {"rule": thrifty}),
    ("keys", {"rule": careless}),
    ("alive", {"pace": lambda rate: 0.3}),
    ("pure", {"change": counting}),
    ("pure", {"change": noisy}),
    ("repeats", {"report": lambda td: Report({"error": jnp.log(-jnp.abs(td).mean())})}),
    (
        "reports",
        {
            "store": Replay(64, batch=4, warmup=8, window=8),
            "deal": lambda sample: sample.steps,
            "report": lambda td: Report({}, surprise=-jnp.abs(td).mean(axis=1)),
        },
    ),
    ("resumes", {"change": restless}),
    ("seeds", {"change": sociable}),
    ("sweeps", {"pace": lambda rate: rate if rate > 0 else 0.0}),
    ("spaces", {"rule": narrow}),
    ("shows", {"rule": moody}),
    ("explores", {"rule": methodical}),
    ("alone", {"rule": ft.partial(epsilon, predict=lambda w, o: shy(o @ w[:-1]))}),
    ("memory", {"blank": lambda: jnp.zeros(()), "rule": endless}),
    ("choice", {"target": lambda *args: -bellman(*args)}),
    (
        "observation",
        {"predict": additive, "rule": ft.partial(epsilon, predict=additive)},
    ),
    ("termination", {"target": through_death}),
    ("truncation", {"target": clock_is_death}),
    ("truncation", {"target": clock_is_death, **REAL}),
    ("auto-reset", {"deal": next_episode}),
    ("delay", {"target": two_rewards}),
    ("discount", {"target": lambda s, after, gamma: bellman(s, after, 1.0)}),
    ("masks", {"masks": True, "value": lambda q, legal: q.max()}),
]


def store(self, spec):
    return learner()().store(spec)


def init(self, spec, *, key):
    return learner()().init(spec, key=key)


def policy(self, state):
    return learner()().policy(state)


def update(self, state, batch, *, key):
    return learner()(gamma=self.gamma).update(state, batch, key=key)


HEEDLESS = {"masks": True, "rule": ft.partial(epsilon, allow=lambda q, legal: q)}


class Unexplained(Algorithm[State, Transition]):
    serves: ClassVar = frozenset({Discrete})
    version: ClassVar = 1
    gamma: Unit = 0.9
    store, init, policy, update = store, init, policy, update


class Unbounded(Algorithm[State, Transition]):
    serves: ClassVar = frozenset({Discrete})
    version: ClassVar = 1
    gamma: float = 0.9
    """Discount."""
    store, init, policy, update = store, init, policy, update
