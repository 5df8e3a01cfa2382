"""Taking the best of several proposals."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from peira.core import Box, TimeStep
from peira.ops import best_worth, BestOf, fixed_noise, soft_clipped


SPACE = Box(np.full(1, -1, np.float32), np.full(1, 3, np.float32))
T = TimeStep(jnp.array([0.2]), jnp.zeros(()), jnp.array(False))


def near(obs, noise):
    """An action not far from what is seen."""
    return jnp.tanh(obs + 0.1 * noise)


def test_between_the_smallest_and_the_largest():
    q = jnp.array([[1.0, 5.0, 2.0], [0.0, 0.0, -4.0]])
    np.testing.assert_allclose(soft_clipped(q, 0.75), [2.0, -3.0])
    np.testing.assert_allclose(soft_clipped(q, 1.0), q.min(axis=-1))


def test_the_worth_is_that_of_the_best_and_not_the_best_of_each():
    critic = lambda s, a: jnp.array([a[0], -3 * a[0]])
    noise = jnp.array([[-1.0], [0.0], [2.0]])
    a = np.tanh(0.2 + 0.1 * np.array([-1.0, 0, 2]))
    wanted = (0.6 * np.minimum(a, -3 * a) + 0.4 * np.maximum(a, -3 * a)).max()
    found = best_worth(near, critic, T.obs, noise, weight=0.6)
    assert found == pytest.approx(wanted, abs=1e-6)


def test_the_first_noise_is_none():
    noise = fixed_noise(5, 2)
    assert (noise[0] == 0).all()
    assert len(np.unique(noise[1:])) == 8
    np.testing.assert_array_equal(noise, fixed_noise(5, 2))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_shows_the_best_in_the_bounds_of_the_space(sign):
    value = lambda s, a: sign * a[0]
    noise = jnp.array([[0.0], [1.0], [-2.0]])
    policy = BestOf(near, value, noise, jnp.array(False), SPACE)
    act = lambda k, explore: policy((), T, key=k, explore=explore)[0]
    best = np.tanh(0.2 + (0.1 if sign > 0 else -0.2))
    assert act(jr.key(0), False) == pytest.approx(1 + 2 * best, abs=1e-6)
    tried = jax.vmap(lambda k: act(k, True))(jr.split(jr.key(1), 200))
    plain = 1 + 2 * np.tanh(0.2)
    assert np.mean(sign * (tried - plain) > 0) > 0.8  # of three, with chance 7/8
    assert len(np.unique(tried)) == 200


def test_before_the_first_update_proposals_fill_the_box():
    policy = BestOf(near, lambda s, a: a[0], jnp.zeros((1, 1)), jnp.array(True), SPACE)
    act = jax.vmap(lambda k: policy((), T, key=k, explore=True)[0])
    tried = act(jr.split(jr.key(0), 2000))
    assert SPACE.contains(np.asarray(tried)).all()
    assert tried.mean() == pytest.approx(1, abs=0.1)
    assert tried.std() == pytest.approx(4 / np.sqrt(12), abs=0.06)
