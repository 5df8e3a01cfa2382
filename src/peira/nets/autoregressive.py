"""Choices made one after another, each told those before it.

The chain rule as a network: Larochelle & Murray, 2011; for actions Metz et al., 2017,
https://arxiv.org/abs/1705.05035.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int

from ..core import Key
from .blocks import MLP


Pick = Callable[[int, Float[Array, " option"]], Int[Array, ""]]
"""The option that is taken, by which choice it is and the logits."""


class Autoregressive(eqx.Module):
    """A network for each choice, which sees the earlier ones as one-hot vectors."""

    members: MLP
    choices: int = eqx.field(static=True)
    options: int = eqx.field(static=True)

    def __init__(
        self,
        n_in: int,
        choices: int,
        options: int,
        hidden: tuple[int, ...],
        *,
        key: Key,
    ):
        sizes = [n_in + choices * options, *hidden, options]
        make = lambda k: MLP(sizes, key=k)
        self.members = eqx.filter_vmap(make)(jr.split(key, choices))
        self.choices, self.options = choices, options

    def __call__(
        self, x: Float[Array, " in"], chosen: Int[Array, " choice"]
    ) -> Float[Array, "choice option"]:
        """The logits of every choice, given the ones before it."""
        hot = jax.nn.one_hot(chosen, self.options)
        before = jnp.tri(self.choices, k=-1)
        told = before[:, :, None] * hot[None]
        one = lambda net, seen: net(jnp.concatenate([x, seen.ravel()]))
        return jax.vmap(one)(self.members, told)

    def unroll(self, x: Float[Array, " in"], pick: Pick) -> Int[Array, " choice"]:
        """All of them, taken in turn."""
        blank, chosen = jnp.zeros(self.options), []
        for i in range(self.choices):
            net = jax.tree.map(lambda w, i=i: w[i], self.members)
            hot = [jax.nn.one_hot(c, self.options) for c in chosen]
            told = hot + [blank] * (self.choices - i)
            chosen.append(pick(i, net(jnp.concatenate([x, *told]))))
        return jnp.stack(chosen)
