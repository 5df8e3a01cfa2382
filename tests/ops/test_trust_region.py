"""A linear system solved exactly, Fisher matrices by their definition, and steps that
are shortened as often as told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from peira.ops import (
    backtracked,
    Categorical,
    conjugate_gradient,
    fisher_product,
    Gaussian,
)


def system(eigenvalues, seed=0):
    rng = np.random.default_rng(seed)
    n = len(eigenvalues)
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    return (q * eigenvalues) @ q.T, rng.normal(size=n)


def solved(a, b, steps):
    a, b = jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)
    return conjugate_gradient(lambda v: a @ v, b, steps=steps)


def test_a_system_is_solved():
    a, b = system([0.5, 1, 2, 3, 5])
    np.testing.assert_allclose(solved(a, b, 5), np.linalg.solve(a, b), rtol=1e-4)


def test_as_many_steps_as_there_are_eigenvalues_do_and_fewer_do_not():
    a, b = system([1, 1, 1, 4, 4, 9, 9, 9])
    x = np.linalg.solve(a, b)
    np.testing.assert_allclose(solved(a, b, 3), x, atol=1e-5)
    assert np.abs(solved(a, b, 2) - x).max() > 1e-2
    np.testing.assert_allclose(solved(a, b, 20), x, atol=1e-5)  # done long since


def test_nothing_asked_is_nothing_answered():
    a, b = system([1.0, 2.0])
    assert not solved(a, 0 * b, 5).any()


def dense(product, n):
    return np.stack([product(row) for row in np.eye(n, dtype=np.float32)])


def test_the_fisher_matrix_of_one_distribution():
    logits = jnp.array([0.3, -1.0, 0.7])
    p = np.asarray(jax.nn.softmax(logits))
    kl = lambda w: Categorical(logits).kl(Categorical(w))
    wanted = np.diag(p) - np.outer(p, p)
    np.testing.assert_allclose(dense(fisher_product(kl, logits), 3), wanted, atol=1e-6)

    at = jnp.array([0.5, -0.2, 0.4, -0.7])  # two means, two log deviations
    normal = lambda w: Gaussian(w[:2], w[2:])
    product = fisher_product(lambda w: normal(at).kl(normal(w)), at)
    wanted = np.diag([np.exp(-0.8), np.exp(1.4), 2, 2])
    np.testing.assert_allclose(dense(product, 4), wanted, atol=1e-6)


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
def test_the_fisher_matrix_of_a_policy(kind):
    """`E_s E_a[∇log π ∇log πᵀ]`: over all actions, or over the two directions of a
    normal, whose squares are known."""
    rng = np.random.default_rng(1)
    obs = jnp.asarray(rng.normal(size=(5, 2)), jnp.float32)
    real = lambda *s: jnp.asarray(rng.normal(size=s), jnp.float32)
    tree = {"w": real(2, 3), "v": real(3, 3), "s": real(3)}
    weights, policy = ravel_pytree(tree)

    def pi(weights, x):
        net = policy(weights)
        out = jnp.tanh(x @ net["w"]) @ net["v"]
        if kind == "categorical":
            return Categorical(out)
        return Gaussian(out, 0.3 * net["s"])

    def kl(w):
        return jax.vmap(lambda x: pi(weights, x).kl(pi(w, x)))(obs).mean()

    wanted = np.zeros((weights.size, weights.size))
    for x in obs:
        if kind == "categorical":
            score = jax.jacobian(lambda w, x=x: pi(w, x).logits)(weights)
            wanted += np.einsum("a,ai,aj", np.exp(pi(weights, x).logits), score, score)
        else:
            mean = jax.jacobian(lambda w, x=x: pi(w, x).mean)(weights)
            wide = jax.jacobian(lambda w, x=x: pi(w, x).log_std)(weights)
            precision = np.exp(-2 * pi(weights, x).log_std)
            wanted += np.einsum("a,ai,aj", precision, mean, mean)
            wanted += 2 * np.einsum("ai,aj", wide, wide)
    found = dense(fisher_product(kl, weights), weights.size)
    np.testing.assert_allclose(found, wanted / len(obs), atol=1e-5)


@pytest.mark.parametrize(
    ("most", "tries", "share"),
    [(1.0, 5, 1.0), (0.3, 5, 0.25), (0.3, 3, 0.25), (0.3, 2, 0.0), (0.0, 9, 0.0)],
)
def test_a_step_is_shortened_until_it_will_do(most, tries, share):
    found = jax.jit(lambda: backtracked(lambda x: x <= most, shrink=0.5, tries=tries))
    assert found() == share


def test_what_is_no_number_will_not_do():
    assert backtracked(lambda x: x * jnp.nan > 0, shrink=0.5, tries=4) == 0
