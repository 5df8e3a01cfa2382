"""Divergences against closed forms, and at the optimum of their duals."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy import integrate

from peira.ops import (
    dual_kl,
    Gaussian,
    gaussian,
    laplacian,
    normal_kl,
    sampled_kl,
    squared_mmd,
    steepness,
    TanhGaussian,
    wasserstein,
)


def kl_of_normals(m, s, n, t):
    """`KL(N(m, s²) | N(n, t²))`, entry by entry."""
    m, s, n, t = map(np.asarray, (m, s, n, t))
    return np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5


def test_kl_from_the_standard_normal():
    mean, std = jnp.array([0.0, 1.5, -0.3]), jnp.array([1.0, 0.2, 3.0])
    np.testing.assert_allclose(
        normal_kl(mean, std), kl_of_normals(mean, std, 0, 1), atol=1e-6
    )
    assert normal_kl(mean, std)[0] == 0


@pytest.mark.parametrize("squash", [False, True])
def test_sampled_kl_of_normals(squash):
    """Squashing both by the same function changes nothing."""
    m, s, n, t = (0.3, -0.5), (0.5, 0.8), (0.0, 0.2), (0.7, 0.6)
    keys = jr.split(jr.key(0), 20_000)
    pair = lambda mean, std: (jnp.array(mean), jnp.log(jnp.array(std)))
    if squash:
        p, q = TanhGaussian(*pair(m, s)), TanhGaussian(*pair(n, t))
        x, log_p = jax.vmap(lambda k: p.sample_and_log_prob(key=k))(keys)
    else:
        p, q = Gaussian(*pair(m, s)), Gaussian(*pair(n, t))
        x = jax.vmap(lambda k: p.sample(key=k))(keys)
        log_p = jax.vmap(p.log_prob)(x)
    found = sampled_kl(log_p, jax.vmap(q.log_prob)(x))
    wanted = kl_of_normals(m, s, n, t).sum()
    assert found == pytest.approx(wanted, abs=5 / np.sqrt(len(keys)))


def test_density_of_a_squashed_normal():
    """It is that of its samples, and integrates to one."""
    pi = TanhGaussian(jnp.array([0.4]), jnp.array([-0.5]))
    x, log_prob = pi.sample_and_log_prob(key=jr.key(3))
    assert pi.log_prob(x) == pytest.approx(float(log_prob), abs=1e-5)
    grid = np.linspace(-1, 1, 20_003, dtype=np.float32)[1:-1]
    density = np.exp(jax.vmap(pi.log_prob)(jnp.asarray(grid)[:, None]))
    assert integrate.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)


X, Y = np.array([[0.0, 0.0], [1.0, -1.0]]), np.array([[0.5, 0.0]])


@pytest.mark.parametrize(
    ("kernel", "width", "norm"),
    [
        (laplacian, 2.0, lambda d: np.abs(d).sum()),
        (laplacian, 0.3, lambda d: np.abs(d).sum()),
        (gaussian, 2.0, lambda d: (d**2).sum()),
    ],
)
def test_mmd_of_known_samples(kernel, width, norm):
    k = lambda u, v: np.exp(-norm(u - v) / width)
    wanted = (2 + 2 * k(X[0], X[1])) / 4 + 1 - 2 * (k(X[0], Y[0]) + k(X[1], Y[0])) / 2
    x, y = jnp.asarray(X, jnp.float32), jnp.asarray(Y, jnp.float32)
    assert squared_mmd(x, y, kernel(width)) == pytest.approx(wanted, abs=1e-6)
    assert squared_mmd(y, x, kernel(width)) == pytest.approx(wanted, abs=1e-6)
    assert squared_mmd(x, x[::-1], kernel(width)) == pytest.approx(0, abs=1e-6)


def bound(judge, p, q):
    """`E_p - E_q` of a judge that is a table, by the dual's two parts."""
    plus, minus = dual_kl(judge, judge)
    return p @ plus - q @ minus


def test_dual_kl_is_met_at_the_ratio_and_nowhere_exceeded():
    p, q = jnp.array([0.7, 0.2, 0.1]), jnp.array([0.2, 0.3, 0.5])
    kl = float((p * jnp.log(p / q)).sum())
    best = jnp.log(jnp.expm1(p / q))  # softplus of it is the ratio
    assert bound(best, p, q) == pytest.approx(kl, abs=1e-6)
    slope = jax.grad(bound)(best, p, q)
    np.testing.assert_allclose(slope, 0, atol=1e-6)
    for k in jr.split(jr.key(0), 50):
        assert bound(best + jr.normal(k, (3,)), p, q) <= kl + 1e-6


@pytest.mark.parametrize(("x", "y"), [([0.3, 0.8], [0.0, 0.4]), ([0.5], [-0.5])])
def test_wasserstein_between_points_through_the_best_judge(x, y):
    """Of linear judges with the penalty η max(0, |w| - 1)², the best has
    |w| = 1 + d / 2η and gives d + d² / 4η of its loss: the distance, as η grows."""
    x, y, eta = jnp.array(x), jnp.array(y), 5.0
    d = float(jnp.linalg.norm(x - y))

    def gain(w):
        plus, minus = wasserstein(w @ x, w @ y)
        return plus - minus - eta * steepness(lambda a: w @ a, (x + y) / 2)

    w = jnp.full(x.shape, 0.1)
    climb = lambda w, _: (w + 0.05 * jax.grad(gain)(w), None)
    w, _ = jax.lax.scan(climb, w, length=1000)
    assert jnp.linalg.norm(w) == pytest.approx(1 + d / (2 * eta), abs=1e-3)
    assert gain(w) == pytest.approx(d + d**2 / (4 * eta), abs=1e-4)


@pytest.mark.parametrize(("slope", "wanted"), [(0.0, 0), (0.9, 0), (3.0, 4)])
def test_only_slopes_above_one_are_steep(slope, wanted):
    judge = lambda a: slope * a[0] + 7.0
    found = steepness(judge, jnp.array([0.2, -0.1]))
    assert found == pytest.approx(wanted, abs=1e-6)
    assert jnp.isfinite(jax.grad(lambda a: steepness(judge, a))(jnp.zeros(2))).all()
