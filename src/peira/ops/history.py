"""What an actor saw last, as a window that moves."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree, Shaped

from ..core import Space, zeros


def blank(spaces: Sequence[Space], form: Any, steps: int) -> PyTree:
    """So many observations of nothing: of these spaces, in a tree of this form."""
    nothing = jax.tree.unflatten(form, [zeros(space) for space in spaces])
    many = lambda x: jnp.zeros((steps, *jnp.shape(x)), jnp.asarray(x).dtype)
    return jax.tree.map(many, nothing)


def recent(
    old: PyTree[Shaped[Array, "time ..."]], new: PyTree, first: Any
) -> PyTree[Shaped[Array, "time ..."]]:
    """The last observations after one more; where an episode opens it fills them."""

    def one(old: Array, new: Any) -> Array:
        new = jnp.broadcast_to(jnp.asarray(new)[None], old.shape)
        return jnp.where(first, new, jnp.concatenate([old[1:], new[:1]]))

    return jax.tree.map(one, old, new)
