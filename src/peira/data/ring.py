"""A ring of time: the last steps of every environment, in order.

Laid out `(time, env, ...)`, so that a block of steps is written in one piece and a
window through time is a slice of one environment's column.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree

from ..core import Transition


class Ring(eqx.Module):
    """Shelves, where the next block goes, and how many rows were ever written
    (at most all of them)."""

    data: Transition
    cursor: Int[Array, ""]
    filled: Int[Array, ""]

    @property
    def rows(self) -> int:
        return self.data.reward.shape[0]

    @property
    def envs(self) -> int:
        return self.data.reward.shape[1]


def empty(example: Transition, *, rows: int, envs: int) -> Ring:
    """Room for `rows` steps of each environment, like `example` (one step of one)."""
    data = jax.tree.map(
        lambda x: jnp.zeros((rows, envs, *jnp.shape(x)), jnp.asarray(x).dtype), example
    )
    return Ring(data, jnp.array(0, int), jnp.array(0, int))


def write(ring: Ring, steps: Transition) -> Ring:
    """Keep a block `(time, env, ...)`, over the oldest rows."""
    n, rows = steps.reward.shape[0], ring.rows
    if rows % n == 0:  # a block never wraps: one copy in place

        def put(shelf: Array, block: Array) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(
                shelf, jnp.asarray(block, shelf.dtype), ring.cursor, axis=0
            )
    else:
        at = (ring.cursor + jnp.arange(n)) % rows

        def put(shelf: Array, block: Array) -> Array:
            return shelf.at[at].set(block)

    return Ring(
        jax.tree.map(put, ring.data, steps),
        (ring.cursor + n) % rows,
        jnp.minimum(ring.filled + n, rows),
    )


def cut(ring: Ring, lost: Bool[Array, " env"]) -> Ring:
    """The newest row of these environments as the last of a truncated episode, unless
    it was the last already."""
    newest = (ring.cursor - 1) % ring.rows
    truncated = jnp.asarray(ring.data.truncated)
    last = truncated[newest] | (lost & ~ring.data.terminated[newest])
    truncated = truncated.at[newest].set(last)
    return eqx.tree_at(lambda r: r.data.truncated, ring, truncated)


def gather(
    ring: Ring,
    row: Int[Array, " batch"],
    env: Int[Array, " batch"],
    window: int | None,
) -> Transition:
    """Rows `(batch, ...)`, or windows `(batch, window, ...)` that begin there."""
    if window is not None:
        row = (row[:, None] + jnp.arange(window)[None]) % ring.rows
        env = jnp.broadcast_to(env[:, None], row.shape)
    return take(ring.data, row, env)


def take(data: PyTree, row: Int[Array, "*n"], env: Int[Array, "*n"]) -> PyTree:
    return jax.tree.map(lambda x: x[row, env], data)
