"""Distributions against quadrature, enumeration and the change of variables."""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from peira.core import Box
from peira.nets import Autoregressive
from peira.ops import (
    Binned,
    Categorical,
    Gaussian,
    Mixture,
    MultiCategorical,
    scale,
    TanhGaussian,
    unscale,
)


def density(mean, std, x):
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.7, 0.4), (-1.5, 0.8)])
def test_tanh_gaussian_is_a_density_on_the_open_interval(mean, std):
    pi = TanhGaussian(jnp.array([mean]), jnp.log(jnp.array([std])))
    keys = jr.split(jr.key(0), 4000)
    action, log_prob = jax.vmap(lambda k: pi.sample_and_log_prob(key=k))(keys)
    a = np.asarray(action[:, 0], np.float64)
    assert (np.abs(a) < 1).all()
    # p(a) = N(atanh a) / (1 - a²)
    expected = density(mean, std, np.arctanh(a)) / (1 - a**2)
    np.testing.assert_allclose(np.exp(log_prob), expected, rtol=2e-3)
    grid = np.linspace(-1, 1, 200_001)[1:-1]
    p = density(mean, std, np.arctanh(grid)) / (1 - grid**2)
    assert np.trapezoid(p, grid) == pytest.approx(1, abs=1e-4)
    # and the draws are of that density: their mean and square agree with it
    noise = 4 / np.sqrt(len(a))
    assert a.mean() == pytest.approx(np.trapezoid(p * grid, grid), abs=noise)
    assert (a**2).mean() == pytest.approx(np.trapezoid(p * grid**2, grid), abs=noise)
    assert pi.mode() == pytest.approx(np.tanh(mean))


def test_tanh_gaussian_far_out_is_finite():
    pi = TanhGaussian(jnp.array([40.0, -40.0]), jnp.zeros(2))
    log_prob = lambda m: TanhGaussian(m, jnp.zeros(2)).sample_and_log_prob(
        key=jr.key(0)
    )[1]
    assert np.isfinite(log_prob(pi.mean))
    assert np.isfinite(jax.grad(log_prob)(pi.mean)).all()


def test_divergences():
    """By enumeration and by quadrature; of masked choices only what is legal counts."""
    a, b = jnp.array([0.3, -1.0, 0.7, 2.0]), jnp.array([1.0, 0.2, -0.4, -3.0])
    legal = jnp.array([True, True, True, False])
    for mask in (None, legal):
        p, q = (np.exp(Categorical(x, mask).logits) for x in (a, b))
        terms = [x * np.log(x / y) for x, y in zip(p, q, strict=True) if x > 0]
        kl = Categorical(a, mask).kl(Categorical(b, mask))
        assert kl == pytest.approx(sum(terms), rel=1e-5)
        assert len(terms) == (4 if mask is None else 3)
    parts = (2, 2)
    each = [Categorical(a[i : i + 2]).kl(Categorical(b[i : i + 2])) for i in (0, 2)]
    both = MultiCategorical(a, parts).kl(MultiCategorical(b, parts))
    assert both == pytest.approx(float(sum(each)), rel=1e-5)

    mean, std, at, wide = [0.3, -2.0], [0.5, 1.7], [0.1, 1.0], [0.9, 1.1]
    normal = lambda m, s: Gaussian(jnp.array(m), jnp.log(jnp.array(s)))
    x = np.linspace(-20, 20, 100_001)
    wanted = 0.0
    for m, s, n, w in zip(mean, std, at, wide, strict=True):
        p = density(m, s, x)
        log = -0.5 * ((x - m) / s) ** 2 + 0.5 * ((x - n) / w) ** 2 + np.log(w / s)
        wanted += np.trapezoid(p * log, x)
    kl = normal(mean, std).kl(normal(at, wide))
    assert kl == pytest.approx(wanted, rel=1e-5)
    assert normal(mean, std).kl(normal(mean, std)) == 0


def test_gaussian_log_prob_and_entropy():
    mean, std = np.array([0.3, -2.0]), np.array([0.5, 1.7])
    pi = Gaussian(jnp.asarray(mean, float), jnp.asarray(np.log(std), float))
    x = np.array([0.1, -1.0])
    wanted = np.log(density(mean, std, x)).sum()
    assert pi.log_prob(jnp.asarray(x, float)) == pytest.approx(wanted, rel=1e-5)
    grid = np.linspace(-20, 20, 40_001)
    p = [density(m, s, grid) for m, s in zip(mean, std, strict=True)]
    entropy = sum(-np.trapezoid(q * np.log(q + 1e-300), grid) for q in p)
    assert pi.entropy() == pytest.approx(entropy, rel=1e-4)
    draws = jax.vmap(lambda k: pi.sample(key=k))(jr.split(jr.key(0), 5000))
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.1)
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.05)
    np.testing.assert_array_equal(pi.mode(), pi.mean)


def test_categorical_against_its_sums():
    logits = np.array([0.5, -1.0, 2.0, 0.0])
    p = np.exp(logits) / np.exp(logits).sum()
    pi = Categorical(jnp.asarray(logits, float))
    log_probs = jnp.stack([pi.log_prob(jnp.array(i, int)) for i in range(4)])
    np.testing.assert_allclose(jnp.exp(log_probs), p, rtol=1e-5)
    assert pi.entropy() == pytest.approx(-(p * np.log(p)).sum(), rel=1e-5)
    assert pi.mode() == 2
    draws = jax.vmap(lambda k: pi.sample(key=k))(jr.split(jr.key(0), 4000))
    seen = np.bincount(draws, minlength=4) / 4000
    np.testing.assert_allclose(seen, p, atol=4 * np.sqrt(0.25 / 4000))


def test_what_is_illegal_has_no_probability():
    legal = jnp.array([False, True, True, False])
    pi = Categorical(jnp.array([9.0, 0.0, 1.0, 9.0]), legal)
    assert jnp.exp(pi.logits)[0] == jnp.exp(pi.logits)[3] == 0
    assert jnp.exp(pi.logits).sum() == pytest.approx(1)
    draws = jax.vmap(lambda k: pi.sample(key=k))(jr.split(jr.key(0), 1000))
    assert set(np.unique(draws)) == {1, 2}
    assert pi.mode() == 2
    p = np.exp([0.0, 1.0]) / np.exp([0.0, 1.0]).sum()
    assert pi.entropy() == pytest.approx(-(p * np.log(p)).sum(), rel=1e-5)


def test_multi_categorical_is_the_product():
    nvec, logits = (2, 3), np.array([0.1, 0.9, -1.0, 0.0, 2.0])
    parts = [np.exp(x) / np.exp(x).sum() for x in (logits[:2], logits[2:])]
    pi = MultiCategorical(jnp.asarray(logits, float), nvec)
    for i, j in itertools.product(range(2), range(3)):
        wanted = np.log(parts[0][i] * parts[1][j])
        assert pi.log_prob(jnp.array([i, j])) == pytest.approx(wanted, abs=1e-5)
    entropy = -sum((p * np.log(p)).sum() for p in parts)
    assert pi.entropy() == pytest.approx(entropy, rel=1e-5)
    assert pi.mode().tolist() == [1, 2]
    legal = jnp.array([True, False, True, True, False])
    masked = MultiCategorical(jnp.asarray(logits, float), nvec, legal)
    draws = jax.vmap(lambda k: masked.sample(key=k))(jr.split(jr.key(0), 500))
    assert set(map(tuple, np.asarray(draws).tolist())) == {(0, 0), (0, 1)}


def test_a_mixture_is_the_weighted_sum_of_its_normals():
    rng = np.random.default_rng(0)
    logits, mean, log_std = rng.normal(size=3), *0.5 * rng.normal(size=(2, 3, 2))
    pi = Mixture(*(jnp.asarray(x, float) for x in (logits, mean, log_std)))
    weight = np.exp(logits) / np.exp(logits).sum()
    each = lambda x: density(mean, np.exp(log_std), x).prod(axis=-1)
    wanted = lambda x: np.log((weight * each(x)).sum())
    for x in rng.normal(size=(5, 2)):
        assert pi.log_prob(jnp.asarray(x, float)) == pytest.approx(wanted(x), abs=1e-5)
    far = np.array([8.0, -8.0])  # where every density is zero in float32
    assert pi.log_prob(jnp.asarray(far, float)) == pytest.approx(wanted(far), rel=1e-5)
    draws = jax.vmap(lambda k: pi.sample(key=k))(jr.split(jr.key(0), 5000))
    total = weight @ mean
    spread = weight @ (np.exp(2 * log_std) + mean**2) - total**2
    np.testing.assert_allclose(draws.mean(axis=0), total, atol=0.06)
    np.testing.assert_allclose(draws.var(axis=0), spread, rtol=0.1)
    best = max(mean, key=wanted)
    np.testing.assert_allclose(pi.mode(), best, rtol=1e-6)


def test_bins_in_turn_are_a_distribution_over_their_grid():
    """All 27 have a probability each, with which they are drawn; which is the product
    of conditional ones, so an entry's hangs on the ones before and on no later one."""
    net = Autoregressive(2, 3, 3, (8,), key=jr.key(0))
    net = jax.tree.map(lambda x: 3 * x, net)  # so that they have opinions
    pi = Binned(net, jnp.array([0.3, -0.8]))
    points = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=3)), np.float32)
    p = np.exp(jax.vmap(pi.log_prob)(points))
    assert p.sum() == pytest.approx(1, abs=1e-5)
    assert np.ptp(p) > 0.05
    draws = jax.jit(jax.vmap(lambda k: pi.sample(key=k)))(jr.split(jr.key(1), 8000))
    digits = np.rint(np.asarray(draws) + 1) @ [9, 3, 1]
    seen = np.bincount(digits.astype(int), minlength=27) / 8000
    np.testing.assert_allclose(seen, p, atol=4 * np.sqrt(0.25 / 8000))
    logits = jax.vmap(lambda c: net(pi.features, c))(jnp.rint(points + 1).astype(int))
    cube = np.asarray(logits).reshape(3, 3, 3, 3, 3)  # of each three choices
    assert (cube[..., 0, :] == cube[:1, :1, :1, 0]).all()
    assert (cube[:, :, :, 1] == cube[:, :1, :1, 1]).all()
    assert np.ptp(cube[:, 0, 0, 1, 0]) > 0.1
    assert np.ptp(cube[0, :, 0, 2, 0]) > 0.1
    greedy = [np.argmax(cube[0, 0, 0, 0])]
    greedy += [np.argmax(cube[greedy[0], 0, 0, 1])]
    greedy += [np.argmax(cube[*greedy, 0, 2])]
    np.testing.assert_array_equal(pi.mode(), np.array(greedy) - 1)


def test_what_lies_between_bins_counts_as_the_nearer():
    pi = Binned(Autoregressive(1, 1, 5, (), key=jr.key(0)), jnp.ones(1))
    likely = lambda x: pi.log_prob(jnp.array([x]))
    assert likely(0.26) == likely(0.5) == likely(0.74) != likely(0.76)
    assert likely(1.7) == likely(1.0)
    assert likely(-1.7) == likely(-1.0)


bound = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=10)
@given(bound, bound, st.floats(-1, 1, width=32))
def test_scale_meets_the_bounds_and_unscale_undoes_it(a, b, unit):
    low, high = sorted((a, b))
    if high - low < 1e-3 * max(abs(low), abs(high), 1):
        high = low + max(abs(low), 1)
    box = Box(np.array([low], np.float32), np.array([high], np.float32))
    assert scale(box, jnp.array([-1.0])) == box.low
    assert scale(box, jnp.array([1.0])) == box.high
    inside = scale(box, jnp.array([unit]))
    assert box.contains(np.asarray(inside)[None]).all()
    np.testing.assert_allclose(unscale(box, inside), [unit], atol=2e-3)
