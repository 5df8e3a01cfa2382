"""Noise and the way back, in closed form."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.ops import denoised, generated, left, noised


KINDS = pytest.mark.parametrize("kind", ["squared-cosine", "linear"])


def by_hand(kind, n):
    """The share that every step takes, one after another."""
    if kind == "linear":
        return [1e-4 + (0.02 - 1e-4) * i / (n - 1) for i in range(n)]
    f = lambda t: np.cos((t / n + 0.008) / 1.008 * np.pi / 2) ** 2
    return [min(0.999, 1 - f(i + 1) / f(i)) for i in range(n)]


@KINDS
def test_what_is_left_is_what_no_step_took(kind):
    rest, wanted = 1.0, []
    for beta in by_hand(kind, 50):
        rest *= 1 - beta
        wanted.append(rest)
    np.testing.assert_allclose(left(kind, 50), wanted, rtol=1e-5)


@KINDS
def test_noise_at_once_is_noise_step_by_step(kind):
    """Mean √ᾱ x and variance 1 - ᾱ, by the recursion of single steps."""
    mean, var = 0.7, 0.0
    for beta, now in zip(by_hand(kind, 20), left(kind, 20), strict=True):
        mean, var = np.sqrt(1 - beta) * mean, (1 - beta) * var + beta
        at_once = lambda e, now=now: noised(
            jnp.float32(0.7), jnp.float32(e), jnp.asarray(now)
        )
        assert at_once(0.0) == pytest.approx(mean, rel=1e-4)
        assert (at_once(1.0) - at_once(0.0)) ** 2 == pytest.approx(var, rel=2e-3)


def test_a_step_back_is_the_posterior_of_ddpm():
    """Ho et al., 2020, equations 6 and 7, where the guess is right."""
    kept, beta = left("squared-cosine", 10).astype(float), by_hand("squared-cosine", 10)
    x0, noise = np.array([0.3, -0.8]), np.array([0.5, -1.2])
    f32 = lambda v: jnp.asarray(v, jnp.float32)
    for t in range(1, 10):
        now, then, alpha = kept[t], kept[t - 1], 1 - beta[t]
        x = np.sqrt(now) * x0 + np.sqrt(1 - now) * noise
        mean = np.sqrt(then) * beta[t] / (1 - now) * x0
        mean = mean + np.sqrt(alpha) * (1 - then) / (1 - now) * x
        var = (1 - then) / (1 - now) * beta[t]
        step = lambda draw, eta=1.0, x=x, now=now, then=then: np.asarray(
            denoised(
                f32(x), f32(noise), f32(now), f32(then), eta=eta, draw=jnp.full(2, draw)
            )
        )
        np.testing.assert_allclose(step(0.0), mean, rtol=1e-3, atol=1e-5)
        spread = (step(1.0) - step(0.0)) ** 2
        np.testing.assert_allclose(spread, np.full(2, var), rtol=5e-3, atol=1e-6)
        assert (step(1.0, eta=0.0) == step(0.0, eta=0.0)).all()


@KINDS
@pytest.mark.parametrize("turns", [1, 3, 20])
def test_a_single_point_is_found_again(kind, turns):
    """With the noise there is if all data are one point, from any noise and in however
    few steps, DDIM ends there."""
    kept, point = jnp.asarray(left(kind, 20)), jnp.array([0.4, -0.9, 1.0])
    guess = lambda x, t: (x - jnp.sqrt(kept[t]) * point) / jnp.sqrt(1 - kept[t])
    for seed in range(3):
        start = jr.normal(jr.key(seed), (3,))
        blank = jnp.zeros((turns, 3))
        found = generated(guess, kept, start, blank, eta=0.0)
        np.testing.assert_allclose(found, point, atol=1e-3)


@pytest.mark.parametrize(("eta", "turns"), [(0.0, 25), (1.0, 100)])
def test_two_points_are_drawn_as_often_as_they_are_there(eta, turns):
    """By the true noise of 0.7 of the data at 0.8 and 0.3 at -0.8."""
    kept, points = jnp.asarray(left("squared-cosine", 100)), jnp.array([0.8, -0.8])
    prior = jnp.log(jnp.array([0.7, 0.3]))

    def guess(x, t):
        far = jnp.square(x - jnp.sqrt(kept[t]) * points) / (2 * (1 - kept[t]))
        mean = jax.nn.softmax(prior - far) @ points
        return (x - jnp.sqrt(kept[t]) * mean) / jnp.sqrt(1 - kept[t])

    @jax.jit
    @jax.vmap
    def draw(key):
        noise = jr.normal(key, (1 + turns,))
        return generated(guess, kept, noise[0], noise[1:], eta=eta)

    found = np.asarray(draw(jr.split(jr.key(0), 2000)))
    assert (abs(abs(found) - 0.8) < 0.05).mean() > 0.98
    assert (found > 0).mean() == pytest.approx(0.7, abs=0.04)
