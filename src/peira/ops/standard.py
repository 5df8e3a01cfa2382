"""Observations as a dataset scales them: to zero mean and unit variance."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..core import (
    Action,
    Box,
    Extras,
    is_space,
    Key,
    Obs,
    Policy,
    Space,
    Spec,
    TimeStep,
    Transition,
)


class Standard(eqx.Module):
    """`(s - mean) / (std + ε)` for every vector of real numbers; images, choices and
    what no dataset is known of stay as they are."""

    mean: tuple[Float[Array, "..."] | None, ...]
    std: tuple[Float[Array, "..."] | None, ...]

    @classmethod
    def known(
        cls, spec: Spec, *, use: bool = True, epsilon: float = 1e-3
    ) -> "Standard":
        """By what is known of the dataset; the identity where none is, or where it
        shall not be used. ε is that of Fujimoto & Gu, 2021, section 5."""
        spaces = jax.tree.leaves(spec.obs, is_leaf=is_space)
        if spec.data is None or not use:
            nothing = (None,) * len(spaces)
            return cls(nothing, nothing)
        mean, std = jax.tree.leaves(spec.data.mean), jax.tree.leaves(spec.data.std)
        real = [is_real(s) for s in spaces]
        pick = lambda xs, plus: tuple(
            jnp.asarray(x) + plus if r else None for x, r in zip(xs, real, strict=True)
        )
        return cls(pick(mean, 0.0), pick(std, epsilon))

    def __call__(self, obs: Obs) -> Obs:
        """One observation, or any batch of them."""
        leaves, shape = jax.tree.flatten(obs)
        wide = lambda v, x: jnp.broadcast_to(v, jnp.shape(x))
        scaled = [
            x if m is None else (x - wide(m, x)) / wide(s, x)
            for x, m, s in zip(leaves, self.mean, self.std, strict=True)
        ]
        return jax.tree.unflatten(shape, scaled)

    def steps(self, steps: Transition) -> Transition:
        """The same steps with scaled observations."""
        seen = (self(steps.obs), self(steps.next_obs))
        return eqx.tree_at(lambda t: (t.obs, t.next_obs), steps, seen)


def is_real(space: Space) -> bool:
    return isinstance(space, Box) and space.dtype.kind == "f" and len(space.shape) < 2


class Standardised(Policy[PyTree]):
    """A policy that was learned on scaled observations."""

    policy: Policy
    standard: Standard

    def begin(self) -> PyTree:
        return self.policy.begin()

    def __call__(
        self, carry: PyTree, t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, PyTree, Extras]:
        t = TimeStep(self.standard(t.obs), t.reward, t.first, t.legal)
        return self.policy(carry, t, key=key, explore=explore)
