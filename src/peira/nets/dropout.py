"""Dropout, for numbers and for a network that is otherwise as it is.

Srivastava et al., 2014.
"""

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from ..core import Key
from .blocks import MLP


def dropped(
    net: MLP, x: Float[Array, " in"], *, rate: float, key: Key
) -> Float[Array, " out"]:
    """A network in which every hidden unit is silent with probability `rate` and the
    others are as much louder."""
    *hidden, last = net.layers
    for i, layer in enumerate(hidden):
        x = layer(x)
        x = net.activation(net.norms[i](x) if net.norms else x)
        x = silenced(x, rate=rate, key=jr.fold_in(key, i))
    return last(x)


def silenced(
    x: Float[Array, "*n"], *, rate: float | Float[Array, ""], key: Key | None
) -> Float[Array, "*n"]:
    """Every number zero with probability `rate` and else as much larger; all as they
    are without a key."""
    if key is None:
        return x
    kept = jr.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(kept, x / (1 - rate), 0.0)
