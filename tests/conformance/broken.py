"""Q-learning with a linear function: right as it is, and with one mistake at a time.

A mistake is one other part; nothing else is changed.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from peira.core import (
    Algorithm,
    BadConfig,
    Box,
    Discrete,
    Policy,
    Positive,
    Report,
    Transition,
    Unit,
)
from peira.data import Rollout


class State(eqx.Module):
    """A weight for every feature and action, and how many updates were made."""

    weights: jax.Array
    step: jax.Array


def linear(weights, obs):
    return jnp.append(obs, 1.0) @ weights


def allowed(q, legal):
    return q if legal is None else jnp.where(legal, q, -1e9)


def epsilon(state, carry, t, *, key, explore, predict=linear, allow=allowed):
    """The best action; exploring, with a chance of 0.3 any legal one."""
    q = allow(predict(state.weights, t.obs), t.legal)
    best = q.argmax().astype(jnp.int32)
    if not explore:
        return best, carry
    k_any, k_whether = jr.split(key)
    anything = jr.categorical(k_any, allow(jnp.zeros_like(q), t.legal))
    roam = jr.uniform(k_whether) < 0.3
    return jnp.where(roam, anything.astype(jnp.int32), best), carry


class Acting(Policy[Any]):
    """A policy made of a rule."""

    state: State
    rule: Callable = eqx.field(static=True)
    blank: Callable = eqx.field(static=True)

    def begin(self):
        return self.blank()

    def __call__(self, carry, t, *, key, explore):
        action, carry = self.rule(self.state, carry, t, key=key, explore=explore)
        return action, carry, ()


def bellman(steps, after, gamma):
    """What each step is worth, given the value of its true successor."""
    return steps.reward + gamma * jnp.where(steps.terminated, 0.0, after)


def best(q, legal):
    return allowed(q, legal).max()


def taken(q, action):
    return jnp.take_along_axis(q, action[..., None], -1)[..., 0]


def learner(
    *,
    space=Discrete,
    chosen=taken,
    store=Rollout(8),
    rule=epsilon,
    blank=tuple,
    predict=linear,
    deal=lambda steps: steps,
    value=best,
    target=bellman,
    pace=lambda rate: rate,
    change=lambda weights: weights,
    count=lambda step: step + 1,
    report=lambda td: Report({"error": jnp.abs(td).mean()}),
    refuse=BadConfig,
    masks=False,
    release=1,
) -> type[Algorithm]:
    """The class of Q-learning with these parts."""

    class Learner(Algorithm[State, Transition]):
        serves: ClassVar = frozenset({space})
        version: ClassVar = release
        actors: ClassVar = 4
        rate: Positive = 0.3
        """Size of a step."""
        gamma: Unit = 0.9
        """Discount."""

        def store(self, spec):
            return store

        def init(self, spec, *, key):
            if not isinstance(spec.obs, Box) or len(spec.obs.shape) != 1:
                raise refuse("a linear function reads vectors")
            if spec.masked and not masks:
                raise BadConfig("it knows no masks")
            shape = (spec.obs.size + 1, getattr(spec.action, "n", 2))
            return State(0.01 * jr.normal(key, shape), jnp.zeros((), int))

        def policy(self, state):
            return Acting(state, rule, blank)

        def update(self, state, batch, *, key):
            each, batch = lambda f: jax.vmap(jax.vmap(f)), deal(batch)
            after = each(lambda o, m: value(predict(state.weights, o), m))
            y = target(batch, after(batch.next_obs, batch.next_legal), self.gamma)

            def loss(weights):
                q = each(lambda o: predict(weights, o))(batch.obs)
                td = chosen(q, batch.action) - y
                return 0.5 * jnp.square(td).mean(), td

            slope, td = jax.grad(loss, has_aux=True)(state.weights)
            weights = change(state.weights - pace(self.rate) * slope)
            return State(weights, count(state.step)), report(td)

    return Learner
