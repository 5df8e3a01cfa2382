"""Small datasets of any kind, without an environment."""

import jax
import numpy as np

from peira.core import Box, Discrete, is_space, MultiBinary, MultiDiscrete, Spec
from peira.core.spaces import choices
from peira.data import check, Dataset


VECTOR = Box(np.full(3, -np.inf, np.float32), np.full(3, np.inf, np.float32))
IMAGE = Box(np.zeros((8, 6, 3), np.uint8), np.full((8, 6, 3), 255, np.uint8))
REACH = Box(np.full(2, -2, np.float32), np.full(2, 2, np.float32))


def drawn(space, n, rng):
    """So many items of a pytree of spaces."""

    def one(s):
        match s:
            case Box() if s.dtype.kind == "f":
                low, high = np.maximum(s.low, -3), np.minimum(s.high, 3)
                return rng.uniform(low, high, (n, *s.shape)).astype(s.dtype)
            case Box():
                edges = s.low.astype(int), s.high.astype(int) + 1
                return rng.integers(*edges, (n, *s.shape)).astype(s.dtype)
            case Discrete(k):
                return rng.integers(0, k, n).astype(s.dtype)
            case MultiDiscrete(nvec):
                return rng.integers(0, nvec, (n, len(nvec))).astype(s.dtype)
            case MultiBinary():
                return rng.integers(0, 2, (n, *s.shape)).astype(s.dtype)

    return jax.tree.map(one, space, is_leaf=is_space)


def made(
    obs=VECTOR,
    action=REACH,
    lengths=(3, 1, 5, 2),
    *,
    deaths=(True, False),
    masked=False,
    likely=False,
    seed=0,
    meta=None,
):
    """Episodes of random numbers; they die and are cut off by turns."""
    rng = np.random.default_rng(seed)
    n, e = sum(lengths), len(lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    terminated, truncated = np.zeros(n, bool), np.zeros(n, bool)
    for i, last in enumerate(starts[1:] - 1):
        (terminated if deaths[i % len(deaths)] else truncated)[last] = True
    legal = rng.random((n + e, choices(action))) < 0.7 if masked else None
    return check(
        Dataset(
            Spec(obs, action, masked),
            drawn(obs, n + e, rng),
            drawn(action, n, rng),
            rng.normal(size=n).astype(np.float32),
            terminated,
            truncated,
            starts,
            legal,
            rng.uniform(0.1, 1, n).astype(np.float32) if likely else None,
            meta or {},
        )
    )


def same(a, b):
    """Whether two datasets are the same but for `meta`."""
    return a.fingerprint() == b.fingerprint() and a.spec == b.spec
