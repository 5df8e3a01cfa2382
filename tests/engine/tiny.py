"""A world and an algorithm that compile in no time."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int

from peira.core import (
    Algorithm,
    Box,
    Discrete,
    Env,
    Outcome,
    Policy,
    Report,
    Sample,
    Spec,
    TimeStep,
)
from peira.data import Replay


class Walk(Env[Int[Array, ""]]):
    """Left or right on a line; it ends three steps from the middle. No chance in it."""

    @property
    def spec(self) -> Spec:
        low = np.full(1, -3, np.float32)
        return Spec(Box(low, -low), Discrete(2))

    def reset(self, *, key):
        return jnp.array(0), jnp.zeros(1), None

    def step(self, world, action, *, key):
        world = world + 2 * action - 1
        over = jnp.abs(world) >= 3
        obs = world.astype(jnp.float32)[None]
        return world, Outcome(obs, obs[0], over, jnp.array(False))


class Wanderer(Policy[tuple[()]]):
    drift: Float[Array, ""]

    def begin(self):
        return ()

    def __call__(self, carry, t: TimeStep, *, key, explore: bool):
        return (jr.uniform(key) < 0.5 + self.drift).astype(int), carry, ()


class Learned(eqx.Module):
    drift: Float[Array, ""]
    count: Int[Array, ""]


class Drift(Algorithm[Learned, Sample]):
    """Learns one number, in no time."""

    serves: ClassVar = frozenset({Discrete})
    version: ClassVar = 1
    actors: ClassVar[int] = 2

    rate: float = 0.01
    poison: int = -1
    """The update whose loss is not a number."""

    def store(self, spec):
        return Replay(capacity=64, batch=4, warmup=10, every=2)

    def init(self, spec, *, key):
        return Learned(jnp.array(0.0), jnp.array(0))

    def policy(self, state):
        return Wanderer(state.drift)

    def update(self, state, batch, *, key):
        loss = jnp.where(state.count == self.poison, jnp.nan, batch.steps.reward.mean())
        drift = jnp.clip(state.drift + self.rate * loss, -0.2, 0.2)
        return Learned(drift, state.count + 1), Report({"loss": loss})
