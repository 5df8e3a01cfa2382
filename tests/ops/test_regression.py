"""Expectiles and quantiles of distributions that have them in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from peira.ops import expectile_loss, quantile_huber_loss


UNIFORM = (jnp.arange(4000) + 0.5) / 4000
TAUS = (0.1, 0.5, 0.9)


def slope(loss, at):
    return jax.grad(lambda m: loss(UNIFORM - m).mean())(jnp.asarray(at))


@pytest.mark.parametrize("tau", TAUS)
def test_an_expectile_of_a_uniform_distribution(tau):
    """`τ (1 - m)² = (1 - τ) m²`."""
    m = np.sqrt(tau) / (np.sqrt(tau) + np.sqrt(1 - tau))
    loss = lambda u: expectile_loss(u, tau)
    assert slope(loss, m) == pytest.approx(0, abs=1e-5)
    assert slope(loss, m - 0.05) < -0.01
    assert slope(loss, m + 0.05) > 0.01


@pytest.mark.parametrize("tau", TAUS)
def test_a_quantile_of_a_uniform_distribution(tau):
    loss = lambda u: quantile_huber_loss(u, tau, kappa=1e-3) / 1e-3
    assert slope(loss, tau) == pytest.approx(0, abs=1e-3)
    assert slope(loss, tau - 0.05) == pytest.approx(-0.05, abs=1e-3)
    assert slope(loss, tau + 0.05) == pytest.approx(0.05, abs=1e-3)


def test_losses_by_three_numbers():
    u = jnp.array([-2.0, 0.5, 3.0])
    np.testing.assert_allclose(expectile_loss(u, 0.7), [1.2, 0.175, 6.3], rtol=1e-6)
    wanted = [0.3 * 1.5, 0.7 * 0.125, 0.7 * 2.5]
    np.testing.assert_allclose(quantile_huber_loss(u, 0.7), wanted, rtol=1e-6)
    wide = quantile_huber_loss(u, 0.7, kappa=2.0)
    np.testing.assert_allclose(wide, [0.3 * 2, 0.7 * 0.125, 0.7 * 4], rtol=1e-6)
