"""Histograms of values: what is encoded comes back, and what a projection keeps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from peira.core import BadConfig
from peira.ops import check_support, expected, hl_gauss, projected, two_hot


ATOMS = jnp.linspace(-3.0, 5.0, 17)
WIDTH = 0.5
INSIDE = np.linspace(-3, 5, 201, dtype=np.float32)


def encoded(how, y):
    return np.asarray(jax.vmap(lambda y: how(y, ATOMS))(jnp.asarray(y)), np.float64)


def project(values, p):
    real = lambda x: jnp.asarray(x, jnp.float32)
    return projected(real(values), real(p), ATOMS)


def gauss(y, atoms, sigma=0.75):
    return hl_gauss(y, atoms, sigma=sigma)


def test_two_hot_comes_back_exactly():
    p = encoded(two_hot, INSIDE)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(p @ np.asarray(ATOMS), INSIDE, atol=1e-5)
    assert ((p > 1e-5).sum(axis=1) <= 2).all()
    np.testing.assert_allclose(
        two_hot(jnp.array(-2.6), ATOMS)[:2], [0.2, 0.8], atol=1e-5
    )


def test_what_lies_beyond_counts_as_the_end():
    for how in (two_hot, gauss):
        far, end = encoded(how, [-99.0, 99.0]), encoded(how, [-3.0, 5.0])
        np.testing.assert_array_equal(far, end)
    assert encoded(two_hot, [-99.0])[0, 0] == 1


@pytest.mark.parametrize("sigma", [0.5, 0.75, 1.5])
def test_hl_gauss_is_the_normal_in_bins(sigma):
    y = 0.83
    edges = np.append(np.asarray(ATOMS) - WIDTH / 2, 5 + WIDTH / 2)
    mass = np.diff(norm.cdf(edges, loc=y, scale=sigma * WIDTH))
    p = gauss(jnp.array(y), ATOMS, sigma)
    np.testing.assert_allclose(p, mass / mass.sum(), atol=1e-6)


def test_hl_gauss_has_mass_one_and_nearly_the_mean():
    """Off the ends the mean errs by 2 Δ Σₖ (-1)ᵏ sin(2πk u) exp(-2π²k²σ²) / 2πk, the
    ripple of a sum over a lattice: of its first term at σ = 3/4, 5e-6 Δ."""
    p = encoded(gauss, INSIDE)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    off = p @ np.asarray(ATOMS) - INSIDE
    deep = (INSIDE > -3 + 4 * WIDTH) & (INSIDE < 5 - 4 * WIDTH)
    assert np.abs(off[deep]).max() < 2e-5
    assert 0.1 < off[0] / WIDTH < 1  # at an end one side is cut off
    narrow = lambda y: gauss(y, ATOMS, 0.3)
    y = np.linspace(0, WIDTH, 41, dtype=np.float32)
    off = np.asarray(jax.vmap(narrow)(jnp.asarray(y))) @ np.asarray(ATOMS) - y
    ripple = WIDTH * np.exp(-2 * (np.pi * 0.3) ** 2) / np.pi
    # The first term of the series, and a second that is smaller by exp(-6π²σ²).
    np.testing.assert_allclose(off, -ripple * np.sin(2 * np.pi * y / WIDTH), atol=2e-3)
    assert np.abs(off).max() > 0.02


def test_a_projection_keeps_mass_and_mean():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(17)).astype("f4")
    within = rng.uniform(-3, 5, 17).astype("f4")
    q = project(within, p)
    assert q.sum() == pytest.approx(1, abs=1e-5)
    assert q @ ATOMS == pytest.approx(p @ within, abs=1e-5)
    beyond = project(within + 4, p)
    assert beyond.sum() == pytest.approx(1, abs=1e-5)
    assert beyond @ ATOMS == pytest.approx(p @ np.minimum(within + 4, 5), abs=1e-5)


def test_a_projection_by_the_papers_loop():
    """Bellemare et al., 2017, algorithm 1."""
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(17))
    values = 0.7 + 0.9 * np.asarray(ATOMS, np.float64)
    m = np.zeros(17)
    for x, mass in zip(values, p, strict=True):
        b = (np.clip(x, -3, 5) + 3) / WIDTH
        lower, upper = int(np.floor(b)), int(np.ceil(b))
        if lower == upper:
            m[lower] += mass
        else:
            m[lower] += mass * (upper - b)
            m[upper] += mass * (b - lower)
    ours = projected(
        jnp.asarray(values, jnp.float32), jnp.asarray(p, jnp.float32), ATOMS
    )
    np.testing.assert_allclose(ours, m, atol=1e-5)


def test_the_mean_of_what_is_likely():
    logits = jnp.log(jnp.array([[0.25, 0.5, 0.25], [0.0, 0.1, 0.9]]) + 1e-30)
    found = expected(logits, jnp.array([-1.0, 0.0, 1.0]))
    np.testing.assert_allclose(found, [0.0, 0.9], atol=1e-6)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (None, 1.0, "here needs value_low and value_high"),
        (0.0, None, "here needs value_low and value_high"),
        (1.0, 1.0, "here: nothing lies between value_low = 1 and value_high = 1"),
        (2.0, -2.0, "nothing lies between"),
        (0.0, float("nan"), "nothing lies between"),
    ],
)
def test_a_support_that_is_none(low, high, words):
    with pytest.raises(BadConfig, match=words):
        check_support("here", low, high)
    check_support("here", -1.0, 1.0)
