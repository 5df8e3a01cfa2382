"""What an update should compute, in slow float64 NumPy.

Networks are only read as records of their weights; gradients are central differences,
so nothing here shares a line with what it checks.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import norm

from peira.core import Box, Transition


def exact(tree):
    """The same record with every array in float64."""
    return jax.tree.map(lambda x: np.array(x, np.float64), tree)


def mlp(net, x, activation=lambda x: np.maximum(x, 0)):
    """A batch through a network of linear layers."""
    for layer in net.layers[:-1]:
        x = activation(x @ layer.weight + layer.bias)
    return x @ net.layers[-1].weight + net.layers[-1].bias


def member(ensemble, i):
    return jax.tree.map(lambda x: x[i], ensemble.members)


def gradient(loss, tree):
    """The gradient of `loss` at `tree`, entry by entry."""
    leaves, shape = jax.tree.flatten(jax.tree.map(np.array, tree))
    out = [np.zeros_like(x) for x in leaves]
    for x, g in zip(leaves, out, strict=True):
        for i in np.ndindex(x.shape):
            at = x[i]
            sides = []
            for x[i] in (at + 1e-6, at - 1e-6):
                sides.append(loss(jax.tree.unflatten(shape, leaves)))
            x[i] = at
            g[i] = (sides[0] - sides[1]) / 2e-6
    return jax.tree.unflatten(shape, out)


class Adam:
    """Kingma & Ba, 2015, algorithm 1."""

    def __init__(self, tree, *, rate, eps=1e-8, max_norm=np.inf, clip=np.inf):
        self.m = jax.tree.map(np.zeros_like, tree)
        self.v = jax.tree.map(np.zeros_like, tree)
        self.rate, self.eps, self.max_norm, self.t = rate, eps, max_norm, 0
        self.clip = clip

    def step(self, tree, loss, rate=None):
        """The tree one step down the loss."""
        g = gradient(loss, tree)
        norm = np.sqrt(sum(np.square(x).sum() for x in jax.tree.leaves(g)))
        g = jax.tree.map(lambda x: x * min(1.0, self.max_norm / norm), g)
        g = jax.tree.map(lambda x: np.clip(x, -self.clip, self.clip), g)
        self.t += 1
        self.m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, self.m, g)
        self.v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, self.v, g)
        rate = self.rate if rate is None else rate

        def move(w, m, v):
            m, v = m / (1 - 0.9**self.t), v / (1 - 0.999**self.t)
            return w - rate * m / (np.sqrt(v) + self.eps)

        return jax.tree.map(move, tree, self.m, self.v)


def polyak(target, online, tau):
    return jax.tree.map(lambda t, o: (1 - tau) * t + tau * o, target, online)


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def histogram(how, y, atoms, *, sigma):
    """A value as two-hot, or as the bins of a normal around it."""
    step, y = atoms[1] - atoms[0], np.clip(y, atoms[0], atoms[-1])
    if how == "hl-gauss":
        edges = np.append(atoms - step / 2, atoms[-1] + step / 2)
        mass = np.diff(norm.cdf(edges, y, sigma * step))
        return mass / mass.sum()
    m = np.zeros(len(atoms))
    at = min(int((y - atoms[0]) / step), len(atoms) - 2)
    right = (y - atoms[at]) / step
    m[at : at + 2] = 1 - right, right
    return m


def assert_close(ours, wanted, rtol=2e-3, atol=2e-5):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def box(low, high, n):
    return Box(np.full(n, low, np.float32), np.full(n, high, np.float32))


def made_up(seed, action, *shape, extras=()):
    """Steps of shape `shape` with three-number observations and ends of both kinds."""
    rng = np.random.default_rng(seed)
    end = rng.random(shape)
    real = lambda *s: jnp.asarray(rng.normal(size=s), jnp.float32)
    return Transition(
        real(*shape, 3),
        jnp.asarray(action(rng, shape)),
        real(*shape),
        jnp.asarray(end < 0.25),
        jnp.asarray((end > 0.15) & (end < 0.5)),
        real(*shape, 3),
        extras=extras,
    )


def chain(n=5, gamma=0.8):
    """A corridor walked to its end by whatever action: from state i to i + 1, reward
    i + 1. The walk is cut by a clock at state 1 (the world goes on) and the last step
    is a death. The steps, and the values the linear system `v = r + γ P v` gives."""
    reward = np.arange(1.0, n + 1)
    follows = np.minimum(np.arange(n) + 1, n - 1)
    terminated = np.arange(n) == n - 1
    P = np.eye(n)[follows] * ~terminated[:, None]
    value = np.linalg.solve(np.eye(n) - gamma * P, reward)
    truncated = np.arange(n) == 1
    return reward.astype(np.float32), follows, terminated, truncated, value
