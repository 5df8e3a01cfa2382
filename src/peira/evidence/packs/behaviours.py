"""Who collects the data: policies that know how likely they were to do what they did.

The extras of each are the logarithm of its propensity, where it has one: the
probability of a choice, the density of a real action in the units of the environment.
"""

from typing import Any, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int

from ...algos.online.dqn import EpsilonGreedy
from ...algos.online.sac import Stochastic
from ...core import Action, BadConfig, Box, Discrete, Extras, Key, Policy, TimeStep
from ...envs import PointMaze, Rooms
from ...ops import Categorical, scale


Chosen: TypeAlias = tuple[Action, Any, Extras]


class Drawn(eqx.Module):
    """How likely an action was, or how dense where it is real."""

    log_prob: Float[Array, ""]


class Uniform(Policy[tuple[()]]):
    """Anything within the bounds, each as likely as the others."""

    space: Box | Discrete = eqx.field(static=True)

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> Chosen:
        space, (key,) = self.space, jr.split(key, 1)
        if isinstance(space, Discrete):
            pi = Categorical(jnp.zeros(space.n), t.legal)
            action = pi.sample(key=key)
            return action, carry, Drawn(pi.log_prob(action))
        action = jr.uniform(key, space.shape, space.dtype, space.low, space.high)
        density = -jnp.log(jnp.asarray(space.high - space.low)).sum()
        return action, carry, Drawn(density)


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
        half = jnp.asarray(space.high - space.low) / 2
        density = log_prob - jnp.log(half).sum()
        return scale(space, unit.reshape(space.shape)), carry, Drawn(density)


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
    return action.astype(jnp.int32), carry, Drawn(jnp.log(chance))


def telling(policy: Policy) -> Policy:
    """The policy as it explores, but that it says how likely it was to; raises
    `BadConfig` for one that no recipe has learned."""
    match policy:
        case Stochastic():
            return Sampled(policy)
        case EpsilonGreedy():
            return Epsilon(policy)
    raise BadConfig(f"{type(policy).__name__} cannot say how likely an action was")
