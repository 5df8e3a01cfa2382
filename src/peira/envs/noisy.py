"""A world whose rewards are known with noise only: `noisy:0.5:CartPole-v1`.

The noise is normal with mean zero, so what is best to do and what it earns on average
stay as they were.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Generic, TypeVar

import jax.random as jr
from jaxtyping import PyTree

from ..core import Action, BadConfig, Env, Key, Obs, Outcome, Spec


World = TypeVar("World")
PREFIX = "noisy:"


class Noisy(Env[World], Generic[World]):
    """Adds normal noise of this standard deviation to every reward."""

    env: Env[World]
    deviation: float

    @property
    def spec(self) -> Spec:
        return self.env.spec

    def reset(self, *, key: Key) -> tuple[World, Obs, PyTree | None]:
        return self.env.reset(key=key)

    def step(self, world: World, action: Action, *, key: Key) -> tuple[World, Outcome]:
        k_step, k_noise = jr.split(key)
        world, out = self.env.step(world, action, key=k_step)
        noise = self.deviation * jr.normal(k_noise)
        return world, dataclasses.replace(out, reward=out.reward + noise)


def noisy(name: str, world: Callable[[str], Env | None]) -> Noisy:
    """The world of a name like `noisy:0.5:CartPole-v1`, given how to find the one
    behind it. Raises `BadConfig` where there is no such world in JAX."""
    size, _, inner = name.removeprefix(PREFIX).partition(":")
    try:
        deviation = float(size)
    except ValueError:
        deviation = math.nan
    if not (inner and 0 <= deviation < math.inf):
        raise BadConfig(
            f"{name}: noise is asked for as noisy:DEVIATION:NAME, like "
            "noisy:0.5:CartPole-v1"
        )
    found = world(inner)
    if found is None:
        raise BadConfig(f"{name}: {inner} is no world in JAX; others have no noise")
    return Noisy(found, deviation)
