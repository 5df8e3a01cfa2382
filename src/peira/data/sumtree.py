"""A tree of sums over an array of weights: draw in proportion, change any weight, each
in a few steps for a whole batch at once.

Level by level from the root, `(nodes, WIDTH)`: entry j of row i of one level is the
sum of row `i * WIDTH + j` of the next; the last level holds the weights. Sums are
recomputed, never adjusted, so that rounding does not pile up and a batch may name a
leaf twice.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


WIDTH = 8  # fewer levels cost more each: wider sums take longer than further levels

Tree = tuple[Float[Array, "_ width"], ...]


def empty(n: int) -> Tree:
    """A tree over `n` weights, all zero."""
    rows = [-(-n // WIDTH)]
    while rows[0] > 1:
        rows.insert(0, -(-rows[0] // WIDTH))
    return tuple(jnp.zeros((n, WIDTH)) for n in rows)


def total(tree: Tree) -> Float[Array, ""]:
    return tree[0].sum()


def read(tree: Tree, leaf: Int[Array, " batch"]) -> Float[Array, " batch"]:
    return tree[-1][leaf // WIDTH, leaf % WIDTH]


def write(
    tree: Tree, leaf: Int[Array, " batch"], value: Float[Array, " batch"]
) -> Tree:
    """Set the weights of some leaves; of a leaf named twice, the last one counts."""
    levels = []
    for level in reversed(tree):
        row = leaf // WIDTH
        levels.insert(0, level.at[row, leaf % WIDTH].set(value))
        leaf, value = row, levels[0][row].sum(-1)
    return tuple(levels)


def find(tree: Tree, mass: Float[Array, " batch"]) -> Int[Array, " batch"]:
    """The leaf in which each mass in `[0, total)` lands when weights lie end to end.

    Never a leaf of weight zero, whatever rounding does.
    """
    node = jnp.zeros(mass.shape, int)
    for level in tree:
        row = level[node]
        ends = row.cumsum(-1)
        # The first that ends beyond the mass; where rounding leaves none, the last
        # that adds to the sum.
        before = (ends <= mass[:, None]) & (ends < ends[:, -1:])
        entry = before.sum(-1)
        mass = mass - jnp.where(before, row, 0).sum(-1)
        node = node * WIDTH + entry
    return node
