"""Numbers as words of a small vocabulary, and which words are worth a thought."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .learning import Number


NEVER = -1e30  # a logit so low that its softmax is exactly zero


class Bins(eqx.Module):
    """Every column is cut at edges of its own, which rise but may be equal: between
    equal ones lies a number that many items share."""

    edges: Float[Array, "column edge"]

    @property
    def size(self) -> int:
        """Bins of a column."""
        return self.edges.shape[1] - 1

    @property
    def middle(self) -> Float[Array, "column bin"]:
        return (self.edges[:, 1:] + self.edges[:, :-1]) / 2

    def of(self, columns: slice) -> "Bins":
        return Bins(self.edges[columns])

    def even(self) -> "Bins":
        """As many bins of the same width, from the first edge to the last."""
        low, high = self.edges[:, 0], self.edges[:, -1]
        return Bins(jnp.linspace(low, high, self.size + 1, axis=1))

    def encode(self, x: Float[Array, " column"]) -> Int[Array, " column"]:
        """The bin that each number lies in; the first or the last, outside. What is
        shared by many has a bin of no width."""

        def one(edges: Array, x: Array) -> Array:
            below = jnp.searchsorted(edges, x, side="left")
            upto = jnp.searchsorted(edges, x, side="right")
            return upto - 1 - (upto - below > 1)

        found = jax.vmap(one)(self.edges, x)
        return jnp.clip(found, 0, self.size - 1).astype(jnp.int32)

    def decode(self, token: Int[Array, " column"]) -> Float[Array, " column"]:
        """The middle of each bin."""
        token = jnp.clip(token, 0, self.size - 1)
        return jnp.take_along_axis(self.middle, token[:, None], axis=1)[:, 0]

    def mean(self, probs: Float[Array, "column bin"]) -> Float[Array, " column"]:
        """The expectation; what the bins have not of the mass counts as zero."""
        return (probs * self.middle).sum(axis=1)

    def percentile(
        self, probs: Float[Array, "column bin"], share: Number
    ) -> Float[Array, " column"]:
        """The first bin up to which there is more than a share of the mass; zero, where
        all of them have less."""
        over = jnp.cumsum(probs, axis=1) > share
        found = self.decode(over.argmax(axis=1))
        return jnp.where(over.any(axis=1), found, 0.0)


def narrowed(
    logits: Float[Array, " word"], *, top: int | Int[Array, ""], cdf: Number
) -> Float[Array, " word"]:
    """Only the words that are likelier than the least likely ones, which together have
    almost `cdf` of the mass; and of them the `top` likeliest (0: all)."""
    probs = jax.nn.softmax(logits)
    rising = jnp.sort(probs)
    below = (jnp.cumsum(rising) < cdf).sum()
    least = rising[jnp.maximum(below - 1, 0)]
    logits = jnp.where((probs <= least) & (cdf > 0), NEVER, logits)
    fewest = jnp.sort(logits)[-jnp.asarray(top)]  # of all, where top is 0
    return jnp.where(logits < fewest, NEVER, logits)


def extended(
    score: Float[Array, " beam"], log_prob: Float[Array, "beam word"]
) -> tuple[Float[Array, " beam"], Int[Array, " beam"], Int[Array, " beam"]]:
    """The best of all beams made longer by any word: what they score, which beam each
    was, and the word."""
    every = score[:, None] + log_prob
    best, at = jax.lax.top_k(every.ravel(), len(score))
    return best, at // every.shape[1], at % every.shape[1]
