"""The tree of sums: its root is the sum, and draws are in proportion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from peira.data import sumtree


write, find = jax.jit(sumtree.write), jax.jit(sumtree.find)
N = 5
weights = st.floats(0, 100, width=16)
writes = st.lists(
    st.tuples(st.permutations(range(N)), st.lists(weights, min_size=3, max_size=3)),
    max_size=4,
)


@given(writes)
def test_the_root_is_the_sum_and_every_leaf_the_last_that_was_written(history):
    tree, wanted = sumtree.empty(N), np.zeros(N)
    for order, values in history:
        leaf = np.array(order[:3], np.int32)
        tree = write(tree, leaf, np.array(values, np.float32))
        wanted[leaf] = values
    np.testing.assert_array_equal(sumtree.read(tree, jnp.arange(N)), wanted)
    assert sumtree.total(tree) == pytest.approx(wanted.sum(), rel=1e-5)
    m = len(tree) // 2
    for node in range(1, m):
        assert tree[node] == tree[2 * node] + tree[2 * node + 1]


@given(st.lists(weights, min_size=N, max_size=N), st.lists(st.floats(0, 1), min_size=4))
def test_a_mass_lands_where_weights_laid_end_to_end_say(values, fractions):
    values = np.array(values, np.float32)
    if values.sum() == 0:
        return
    tree = write(sumtree.empty(N), np.arange(N), values)
    mass = np.array(fractions[:4], np.float32) * np.float32(sumtree.total(tree))
    leaf = np.asarray(find(tree, mass))
    assert (values[leaf] > 0).all()
    ends = np.cumsum(values.astype(np.float64))
    slack = 1e-4 * values.sum()
    assert (mass <= ends[leaf] + slack).all()
    assert (mass >= ends[leaf] - values[leaf] - slack).all()


def test_draws_are_in_proportion():
    values = np.array([1, 0, 3, 6, 2], np.float32)
    tree = write(sumtree.empty(N), np.arange(N), values)
    mass = np.random.default_rng(0).random(6000) * 12
    count = np.bincount(find(tree, mass.astype(np.float32)), minlength=N)
    assert count[1] == 0
    expected = 6000 * values[values > 0] / 12
    assert ((count[values > 0] - expected) ** 2 / expected).sum() < 18  # 3 degrees


@pytest.mark.parametrize(("n", "leaves"), [(1, 1), (2, 2), (3, 4), (8, 8), (9, 16)])
def test_leaves_are_the_next_power_of_two(n, leaves):
    assert sumtree.leaves_for(n) == leaves
    tree = sumtree.write(sumtree.empty(n), jnp.array([n - 1]), jnp.array([2.0]))
    assert sumtree.total(tree) == 2
    assert sumtree.find(tree, jnp.array([1.0])).tolist() == [n - 1]
