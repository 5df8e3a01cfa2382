"""A binary tree of sums over an array of weights: draw in proportion, change any
weight, each in log₂ n steps for a whole batch at once.

A flat array of 2m nodes: node 1 is the root, node i has children 2i and 2i+1, the
leaves are nodes m to 2m-1. Parents are recomputed, never adjusted, so that rounding
does not pile up and a batch may name a leaf twice.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


Tree = Float[Array, " nodes"]


def empty(n: int) -> Tree:
    """A tree over `n` weights, all zero."""
    return jnp.zeros(2 * leaves_for(n))


def leaves_for(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


def total(tree: Tree) -> Float[Array, ""]:
    return tree[1]


def read(tree: Tree, leaf: Int[Array, " batch"]) -> Float[Array, " batch"]:
    return tree[leaf + tree.shape[0] // 2]


def write(
    tree: Tree, leaf: Int[Array, " batch"], value: Float[Array, " batch"]
) -> Tree:
    """Set the weights of some leaves; of a leaf named twice, the last one counts."""
    m = tree.shape[0] // 2
    node = leaf + m
    tree = tree.at[node].set(value)

    def up(_: Array, carry: tuple[Tree, Array]) -> tuple[Tree, Array]:
        tree, node = carry
        node = node // 2
        return tree.at[node].set(tree[2 * node] + tree[2 * node + 1]), node

    return jax.lax.fori_loop(0, m.bit_length() - 1, up, (tree, node))[0]


def find(tree: Tree, mass: Float[Array, " batch"]) -> Int[Array, " batch"]:
    """The leaf in which each mass in `[0, total)` lands when weights lie end to end.

    Never a leaf of weight zero, whatever rounding does.
    """
    m = tree.shape[0] // 2

    def down(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        node, mass = carry
        left, right = tree[2 * node], tree[2 * node + 1]
        go_right = (right > 0) & ((mass >= left) | (left <= 0))
        return 2 * node + go_right, jnp.where(go_right, mass - left, mass)

    start = (jnp.ones(mass.shape, int), mass)
    node, _ = jax.lax.fori_loop(0, m.bit_length() - 1, down, start)
    return node - m
