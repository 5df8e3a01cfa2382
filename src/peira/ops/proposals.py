"""Policies that propose several actions and take the one of the highest value."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from ..core import Action, Box, Key, Obs, Policy, TimeStep
from .distributions import scale
from .learning import Number


Propose = Callable[[Obs, Float[Array, " noise"]], Float[Array, " act"]]
"""From an observation and noise to an action in `[-1, 1]`."""
Critics = Callable[[Obs, Float[Array, " act"]], Float[Array, " member"]]
"""What each of several critics makes of an action."""


def soft_clipped(q: Float[Array, "*n member"], weight: Number) -> Float[Array, "*n"]:
    """`λ minᵢ qᵢ + (1 - λ) maxᵢ qᵢ`. Fujimoto et al., 2019."""
    return weight * q.min(axis=-1) + (1 - weight) * q.max(axis=-1)


def best_worth(
    propose: Propose,
    critic: Critics,
    obs: Obs,
    noise: Float[Array, "candidate noise"],
    *,
    weight: Number,
) -> Float[Array, ""]:
    """`maxₐ soft_clipped(Q(s, a))` over the actions proposed in one state."""
    action = jax.vmap(propose, in_axes=(None, 0))(obs, noise)
    q = jax.vmap(critic, in_axes=(None, 0))(obs, action)
    return soft_clipped(q, weight).max()


def fixed_noise(candidates: int, size: int) -> Float[Array, "candidate noise"]:
    """Normal noise that is always the same; the first draw is zero."""
    return jr.normal(jr.key(0), (candidates, size)).at[0].set(0.0)


class BestOf(Policy[tuple[()]]):
    """Of several proposals the one of the highest value: of the same ones whenever it
    shows, so that showing needs no chance, and of fresh ones when exploring. Before the
    first update anything within the bounds."""

    propose: Propose
    value: Callable[[Obs, Float[Array, " act"]], Float[Array, ""]]
    noise: Float[Array, "candidate noise"]
    untrained: Array
    space: Box = eqx.field(static=True)

    def begin(self) -> tuple[()]:
        return ()

    def __call__(
        self, carry: tuple[()], t: TimeStep, *, key: Key, explore: bool
    ) -> tuple[Action, tuple[()], tuple[()]]:
        k_noise, k_any = jr.split(key)
        noise = jr.normal(k_noise, self.noise.shape) if explore else self.noise
        action = jax.vmap(self.propose, in_axes=(None, 0))(t.obs, noise)
        value = jax.vmap(self.value, in_axes=(None, 0))(t.obs, action)
        unit = action[value.argmax()]
        if explore:
            anything = jr.uniform(k_any, unit.shape, minval=-1.0, maxval=1.0)
            unit = jnp.where(self.untrained, anything, unit)
        return scale(self.space, unit.reshape(self.space.shape)), carry, ()
