"""Policies worth exporting: far from where they begin, with memory, with ties."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from peira import algos
from peira.core import (
    Algorithm,
    Box,
    Discrete,
    MultiBinary,
    MultiDiscrete,
    Policy,
    Spec,
    TimeStep,
)
from peira.engine.policies import outline
from peira.evidence.conformance.made_up import box
from peira.ops import Moments, scale


LOW, HIGH = np.array([-1, -3, 0.5], np.float32), np.array([2, 9, 4], np.float32)
SKEWED = Spec(box(-2, 2, 3), Box(LOW, HIGH))
PARTS = {
    "a": box(-1, 1, 2),
    "b": (Discrete(3), MultiDiscrete((2, 4)), MultiBinary((2,))),
}
CHOICES = Spec(PARTS, MultiDiscrete((2, 3)))
GRID = Spec(box(-1, 1, 2, 3), box(-1, 1, 3))


def lively(name: str, spec: Spec, **changes: Any) -> tuple[Policy, Algorithm]:
    """A policy of an algorithm in which no array is what it begins with; and the
    algorithm."""
    cls = algos.get(name)
    fields = [f.name for f in dataclasses.fields(cls)]
    narrow = {"hidden": (8,)} if "hidden" in fields else {}
    algorithm = cls(**narrow | changes)
    rng = np.random.default_rng(0)

    def some(x: jax.ShapeDtypeStruct) -> Array:
        if x.dtype.kind != "f":
            return jnp.zeros(x.shape, x.dtype)
        size = 1.5 / np.sqrt(np.prod(x.shape[:-1])) if len(x.shape) > 1 else 0.5
        return jnp.asarray(size * rng.normal(size=x.shape), x.dtype)

    policy = jax.tree.map(some, jax.eval_shape(lambda: outline(algorithm, spec)))
    if name == "ppo":
        size = lambda x: (0.1 + 5 * x**2).at[0].set(0.0)  # the first never varied
        known = lambda m: Moments(jnp.array(9.0), m.mean, size(m.deviation))
        moments = tuple(map(known, policy.moments))
        policy = eqx.tree_at(lambda p: p.moments, policy, moments)
    return policy, algorithm


class Says(Policy[tuple[()]]):
    """Acts by any function of the observation."""

    what: Any = eqx.field(static=True)

    def begin(self):
        return ()

    def __call__(self, carry, t: TimeStep, *, key, explore):
        return self.what(t.obs), carry, ()


class Memory(Policy[dict]):
    """Begins with what it has learned to begin with, forgets when an episode opens, and
    acts within skewed bounds."""

    start: Float[Array, " n"]
    into: Float[Array, "in n"]
    around: Float[Array, "n n"]
    out: Float[Array, "n act"]

    def begin(self):
        return {"h": self.start, "steps": jnp.array(3)}

    def __call__(self, carry, t: TimeStep, *, key, explore):
        h = jnp.where(t.first, self.start, carry["h"])
        x = jnp.concatenate([t.obs, t.reward[None]])
        gate = jax.nn.sigmoid(h @ self.around)
        h = gate * h + (1 - gate) * jnp.tanh(x @ self.into)
        after = {"h": h, "steps": carry["steps"] + 1}
        return scale(SKEWED.action, jnp.tanh(h @ self.out)), after, ()


def memory() -> Memory:
    shapes = ((5,), (4, 5), (5, 5), (5, 3))
    keys = jr.split(jr.key(0), len(shapes))
    return Memory(*(jr.normal(k, s) for k, s in zip(keys, shapes, strict=True)))
