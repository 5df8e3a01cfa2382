"""Who collects the data: policies that know how likely they were to do what they did.

The extras of each are its propensity, where it has one: the probability of a discrete
action, the density of a continuous one in the units of the environment.
"""

from typing import Any, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from ...algos.online.dqn import EpsilonGreedy
from ...algos.online.sac import Stochastic
from ...core import Action, BadConfig, Box, Discrete, Extras, Key, Policy, TimeStep
from ...envs import PointMaze, Rooms
from ...ops import scale


Chosen: TypeAlias = tuple[Action, Any, Extras]


class Uniform(Policy[tuple[()]]):
    """Anything within the bounds."""

    space: Box | Discrete = eqx.field(static=True)

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> Chosen:
        space = self.space
        if isinstance(space, Discrete):
            return jr.randint(key, (), 0, space.n), carry, jnp.array(1 / space.n)
        unit = jr.uniform(key, space.shape, minval=-1.0, maxval=1.0)
        return scale(space, unit), carry, jnp.array(1 / volume(space), jnp.float32)


class Sampled(Policy[tuple[()]]):
    """Soft actor-critic's policy as it explores."""

    policy: Stochastic

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> Chosen:
        space = self.policy.actor.space
        unit, log_prob = self.policy.actor(t.obs).sample_and_log_prob(key=key)
        density = jnp.exp(log_prob) * 2**space.size / volume(space)
        return scale(space, unit.reshape(space.shape)), carry, density


class Epsilon(Policy[tuple[()]]):
    """DQN's policy as it explores."""

    policy: EpsilonGreedy

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> Chosen:
        q = self.policy.net(t.obs, t.legal)
        return often(q.argmax(), len(q), self.policy.epsilon, carry, key=key)


class Walker(Policy[tuple[()]]):
    """The scripted oracle of `Rooms`: on a shortest path, but with probability
    `epsilon` any way at all."""

    world: Rooms = eqx.field(static=True)
    epsilon: float

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> Chosen:
        known = self.world.chart
        way = jnp.asarray(known.onward)[t.obs, known.goal]
        return often(way, 4, jnp.array(self.epsilon), carry, key=key)


class Driver(Policy[Int[Array, ""]]):
    """The scripted oracle of `PointMaze`: from cell to cell on a shortest path to its
    target, with normal noise on the force, held within the bounds.

    The target is the goal, or if it `roams` a cell drawn anew whenever it is reached
    and with every episode; it is the carry. What is clipped has no density.
    """

    world: PointMaze = eqx.field(static=True)
    noise: float
    roams: bool = eqx.field(static=True, default=False)

    def begin(self) -> Int[Array, ""]:
        return jnp.array(self.world.chart.goal)

    def __call__(
        self, carry: Int[Array, ""], t: TimeStep, *, key: Key, explore: bool
    ) -> Chosen:
        k_target, k_noise = jr.split(key)
        known, here = self.world.chart, self.world.cell(t.obs[:2])
        target = carry
        if self.roams:
            other = jr.randint(k_target, (), 0, len(known.place))
            target = jnp.where(t.first | (here == carry), other, carry)
        way = jnp.asarray(known.onward)[here, target]
        ahead = jnp.asarray(known.beside)[here, way]
        aim = self.world.centre(jnp.where(here == target, here, ahead))
        mean = jnp.clip(4 * (aim - t.obs[:2]) - t.obs[2:], -1, 1)
        noise = jr.normal(k_noise, (2,))
        return jnp.clip(mean + self.noise * noise, -1, 1), target, ()


def often(
    best: Int[Array, ""], n: int, epsilon: Float[Array, ""], carry: Any, *, key: Key
) -> Chosen:
    """The best of n actions, or with probability ε any of them."""
    k_whether, k_any = jr.split(key)
    anything = jr.randint(k_any, (), 0, n)
    action = jnp.where(jr.uniform(k_whether) < epsilon, anything, best)
    chance = epsilon / n + jnp.where(action == best, 1 - epsilon, 0.0)
    return action.astype(jnp.int32), carry, chance


def telling(policy: Policy) -> Policy:
    """The policy as it explores, but that it says how likely it was to; raises
    `BadConfig` for one that no recipe has learned."""
    match policy:
        case Stochastic():
            return Sampled(policy)
        case EpsilonGreedy():
            return Epsilon(policy)
    raise BadConfig(f"{type(policy).__name__} cannot say how likely an action was")


def volume(space: Box) -> float:
    """What a uniform density is one over."""
    width = np.asarray(space.high, np.float64) - np.asarray(space.low, np.float64)
    return float(width.prod())
