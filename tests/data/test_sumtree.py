"""The tree of sums: its root is the sum, and draws are in proportion."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from peira.data import sumtree


write, find = jax.jit(sumtree.write), jax.jit(sumtree.find)
N = sumtree.WIDTH + 3  # two levels, the last row of which is not full
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
    for level, below in itertools.pairwise(tree):
        sums = below.sum(-1)
        np.testing.assert_array_equal(level.ravel()[: len(sums)], sums)


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
    values = np.zeros(N, np.float32)
    values[[0, 2, -2, -1]] = 1, 3, 6, 2
    tree = write(sumtree.empty(N), np.arange(N), values)
    mass = np.random.default_rng(0).random(6000) * 12
    count = np.bincount(find(tree, mass.astype(np.float32)), minlength=N)
    assert not count[values == 0].any()
    expected = 6000 * values[values > 0] / 12
    assert ((count[values > 0] - expected) ** 2 / expected).sum() < 18  # 3 degrees


@pytest.mark.parametrize(
    ("n", "levels"), [(1, 1), (8, 1), (9, 2), (64, 2), (65, 3), (1_000_000, 7)]
)
def test_levels_are_as_many_as_the_weights_need(n, levels):
    tree = sumtree.empty(n)
    assert len(tree) == levels
    assert tree[0].shape == (1, sumtree.WIDTH)
    assert tree[-1].size - n in range(sumtree.WIDTH)
    tree = sumtree.write(tree, jnp.array([n - 1]), jnp.array([2.0]))
    assert sumtree.total(tree) == 2
    assert sumtree.find(tree, jnp.array([1.0])).tolist() == [n - 1]
