"""Dropout, for a network that is otherwise as it is."""

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from ..core import Key
from .blocks import MLP


def dropped(
    net: MLP, x: Float[Array, " in"], *, rate: float, key: Key
) -> Float[Array, " out"]:
    """A network in which every hidden unit is silent with probability `rate` and the
    others are as much louder. Srivastava et al., 2014."""
    *hidden, last = net.layers
    for i, layer in enumerate(hidden):
        x = layer(x)
        x = net.activation(net.norms[i](x) if net.norms else x)
        kept = jr.bernoulli(jax.random.fold_in(key, i), 1 - rate, x.shape)
        x = jnp.where(kept, x / (1 - rate), 0.0)
    return last(x)
