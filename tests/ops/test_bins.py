"""Bins: equal counts, numbers that come back within a bin, atoms, what is expected; the
words that are left, and the beams that are kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from peira.ops import Bins, extended, narrowed


def quantile_bins(x, parts):
    """Of every column of some items."""
    at = np.linspace(0, len(x) - 1, parts + 1).astype(int)
    return Bins(jnp.asarray(np.sort(x, axis=0)[at].T))


def drawn(n=201, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.normal(size=n), rng.exponential(size=n)], 1).astype("f4")


def test_quantiles_hold_as_many_each():
    x = drawn()
    tokens = jax.vmap(quantile_bins(x, 10).encode)(x)
    for column in np.asarray(tokens).T:
        np.testing.assert_array_equal(np.bincount(column), [20] * 9 + [21])


@pytest.mark.parametrize("even", [False, True])
def test_numbers_come_back_within_half_a_bin_and_tokens_exactly(even):
    x = drawn()
    bins = quantile_bins(x, 10)
    bins = bins.even() if even else bins
    tokens = jax.vmap(bins.encode)(x)
    again = jax.vmap(bins.decode)(tokens)
    widths = np.diff(bins.edges, axis=1)
    half = (
        np.stack([w[t] for w, t in zip(widths, np.asarray(tokens).T, strict=True)], 1)
        / 2
    )
    assert (np.abs(again - x) <= half + 1e-6).all()
    np.testing.assert_array_equal(jax.vmap(bins.encode)(again), tokens)
    if even:
        wide = np.broadcast_to(np.ptp(x, axis=0)[:, None] / 10, widths.shape)
        np.testing.assert_allclose(widths, wide, rtol=1e-4)


def test_what_lies_outside_falls_into_the_last_bins():
    bins = Bins(jnp.array([[0.0, 1.0, 3.0]]))
    for x, token in ((-5, 0), (0, 0), (0.99, 0), (1, 1), (3, 1), (jnp.inf, 1)):
        assert bins.encode(jnp.array([x], float)).tolist() == [token]
    assert bins.decode(jnp.array([7])).tolist() == [2.0]


def test_what_many_share_comes_back_exactly():
    """Rewards that are nearly always 0, or nothing but 0."""
    x = np.array([0] * 80 + [1] * 20, "f4")[:, None]
    bins = quantile_bins(x, 5)
    tokens = jax.vmap(bins.encode)(x)
    np.testing.assert_array_equal(jax.vmap(bins.decode)(tokens)[:80], x[:80])
    assert tokens[0] != tokens[-1]
    same = quantile_bins(0 * x + 3, 5)
    assert same.decode(same.encode(jnp.array([3.0]))).tolist() == [3.0]


def test_expectation_and_percentiles():
    bins = Bins(jnp.array([[0.0, 1.0, 2.0, 4.0]]))  # middles 0.5, 1.5, 3
    probs = jnp.array([[0.2, 0.5, 0.2]])  # 0.1 is on the end
    assert bins.mean(probs)[0] == pytest.approx(0.1 + 0.75 + 0.6)
    for share, middle in ((0.1, 0.5), (0.3, 1.5), (0.75, 3.0), (0.95, 0.0)):
        assert bins.percentile(probs, share)[0] == pytest.approx(middle)


def test_the_words_that_are_left():
    probs = jnp.array([0.4, 0.1, 0.3, 0.15, 0.05])
    left = lambda top, cdf: (
        (np.exp(narrowed(jnp.log(probs), top=top, cdf=cdf)) > 0).nonzero()[0].tolist()
    )
    assert left(0, 0.0) == [0, 1, 2, 3, 4]
    assert left(2, 0.0) == [0, 2]
    assert left(0, 0.2) == [0, 2, 3]  # 0.05 and 0.1 together are less than 0.2
    assert left(0, 0.65) == [0]
    assert left(1, 0.2) == [0]
    assert left(9, 0.0) == [0, 1, 2, 3, 4]


@given(st.integers(0, 1000))
def test_the_best_extensions(seed):
    rng = np.random.default_rng(seed)
    score, log_prob = rng.normal(size=3).astype("f4"), rng.normal(size=(3, 4))
    best, beam, word = extended(jnp.asarray(score), jnp.asarray(log_prob, jnp.float32))
    every = score[:, None] + log_prob
    np.testing.assert_allclose(best, np.sort(every.ravel())[:-4:-1], rtol=1e-5)
    np.testing.assert_allclose(every[beam, word], best, rtol=1e-5)
