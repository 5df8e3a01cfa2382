"""Who collects the data: policies that know how likely they were to do what they did.

The extras of each are the logarithm of its propensity, where it has one: the
probability of a choice, the density of a real action in the units of the environment.
"""

from typing import Any, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int

from ...core import Action, Extras, Key, Policy, TimeStep
from ...engine.collect import Drawn
from ...envs import PointMaze, Rooms, TwoWays


Chosen: TypeAlias = tuple[Action, Any, Extras]


class Telling(Policy[Any]):
    """A policy as it explores, which says how likely it was to do what it did."""

    policy: Any
    """One with a `log_prob`."""

    def begin(self) -> Any:
        return self.policy.begin()

    def __call__(self, carry: Any, t: TimeStep, *, key: Key, explore: bool) -> Chosen:
        action, carry, _ = self.policy(carry, t, key=key, explore=True)
        return action, carry, Drawn(self.policy.log_prob(t, action))


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
        k_whether, k_any = jr.split(key)
        known = self.world.chart
        best = jnp.asarray(known.onward)[t.obs, known.goal]
        anything = jr.randint(k_any, (), 0, 4)
        way = jnp.where(jr.uniform(k_whether) < self.epsilon, anything, best)
        chance = self.epsilon / 4 + jnp.where(way == best, 1 - self.epsilon, 0.0)
        return way.astype(jnp.int32), carry, Drawn(jnp.log(chance))


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


class Rounder(Policy[Float[Array, ""]]):
    """Goes round the disc of `TwoWays`, above (1) or below (-1): which is drawn with
    every episode and is the carry. With normal noise, held within the bounds; what is
    clipped has no density."""

    world: TwoWays = eqx.field(static=True)
    noise: float

    def begin(self) -> Float[Array, ""]:
        return jnp.ones(())

    def __call__(
        self, carry: Float[Array, ""], t: TimeStep, *, key: Key, explore: bool
    ) -> Chosen:
        k_side, k_noise = jr.split(key)
        side = jnp.where(t.first, jr.rademacher(k_side, dtype=jnp.float32), carry)
        above = jnp.stack([jnp.zeros(()), side * (self.world.radius + 0.3)])
        aim = jnp.where(t.obs[0] < 0, above, jnp.array([1.5, 0.0]))
        way = aim - t.obs
        mean = way / jnp.linalg.norm(way)
        noise = self.noise * jr.normal(k_noise, (2,))
        return jnp.clip(mean + noise, -1, 1), side, ()
