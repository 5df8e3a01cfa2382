"""Distributions over actions, for one actor each; callers vmap.

`log_prob`, `entropy` and `kl` are sums over the action's entries; `p.kl(q)` is
`E_p[log p - log q]`. Actions of a Box are in
units where its bounds are -1 and 1 (`scale` and `unscale` change units).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int

from ..core import Box, Key
from ..nets.autoregressive import Autoregressive, Pick


NEVER = -1e9  # a logit so low that its softmax is exactly zero in float32


def scale(box: Box, unit: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """From `[-1, 1]` to the box's own bounds, exact at both ends."""
    low, high = jnp.asarray(box.low), jnp.asarray(box.high)
    half = (unit.astype(low.dtype) + 1) / 2
    return low * (1 - half) + high * half


def unscale(box: Box, action: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """From the box's own bounds to `[-1, 1]`: the inverse of `scale`."""
    low, high = jnp.asarray(box.low), jnp.asarray(box.high)
    return 2 * (action - low) / (high - low) - 1


class Categorical(eqx.Module):
    """One of n actions; illegal ones have probability zero."""

    logits: Float[Array, " n"]

    def __init__(
        self, logits: Float[Array, " n"], legal: Bool[Array, " n"] | None = None
    ):
        masked = logits if legal is None else jnp.where(legal, logits, NEVER)
        self.logits = jax.nn.log_softmax(masked)

    def sample(self, *, key: Key) -> Int[Array, ""]:
        return jr.categorical(key, self.logits).astype(jnp.int32)

    def mode(self) -> Int[Array, ""]:
        return self.logits.argmax().astype(jnp.int32)

    def log_prob(self, action: Int[Array, ""]) -> Float[Array, ""]:
        return self.logits[action]

    def entropy(self) -> Float[Array, ""]:
        return -(jnp.exp(self.logits) * self.logits).sum()

    def kl(self, other: "Categorical") -> Float[Array, ""]:
        return (jnp.exp(self.logits) * (self.logits - other.logits)).sum()


class MultiCategorical(eqx.Module):
    """A vector of independent choices, their logits laid end to end."""

    parts: tuple[Categorical, ...]

    def __init__(
        self,
        logits: Float[Array, " n"],
        nvec: tuple[int, ...],
        legal: Bool[Array, " n"] | None = None,
    ):
        ends = [sum(nvec[: i + 1]) for i in range(len(nvec))]
        spans = [slice(end - n, end) for n, end in zip(nvec, ends, strict=True)]
        self.parts = tuple(
            Categorical(logits[s], None if legal is None else legal[s]) for s in spans
        )

    def sample(self, *, key: Key) -> Int[Array, " k"]:
        keys = jr.split(key, len(self.parts))
        draws = [p.sample(key=k) for p, k in zip(self.parts, keys, strict=True)]
        return jnp.stack(draws)

    def mode(self) -> Int[Array, " k"]:
        return jnp.stack([p.mode() for p in self.parts])

    def log_prob(self, action: Int[Array, " k"]) -> Float[Array, ""]:
        terms = [p.log_prob(a) for p, a in zip(self.parts, action, strict=True)]
        return jnp.stack(terms).sum()

    def entropy(self) -> Float[Array, ""]:
        return jnp.stack([p.entropy() for p in self.parts]).sum()

    def kl(self, other: "MultiCategorical") -> Float[Array, ""]:
        pairs = zip(self.parts, other.parts, strict=True)
        return jnp.stack([p.kl(q) for p, q in pairs]).sum()


class Gaussian(eqx.Module):
    """Independent normals."""

    mean: Float[Array, " act"]
    log_std: Float[Array, " act"]

    def sample(self, *, key: Key) -> Float[Array, " act"]:
        noise = jr.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_std) * noise

    def mode(self) -> Float[Array, " act"]:
        return self.mean

    def log_prob(self, action: Float[Array, " act"]) -> Float[Array, ""]:
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return (-0.5 * jnp.square(z) - self.log_std - 0.5 * jnp.log(2 * jnp.pi)).sum()

    def entropy(self) -> Float[Array, ""]:
        return (self.log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e)).sum()

    def kl(self, other: "Gaussian") -> Float[Array, ""]:
        apart = (self.mean - other.mean) * jnp.exp(-other.log_std)
        wider = self.log_std - other.log_std
        return 0.5 * (jnp.square(apart) + jnp.expm1(2 * wider) - 2 * wider).sum()


class TanhGaussian(eqx.Module):
    """Normals squashed into `(-1, 1)` by tanh.

    The density is that of the squashed variable, with the log-Jacobian in the form
    `2 (log 2 - x - softplus(-2x))` that does not overflow.
    Haarnoja et al., 2018, appendix C. https://arxiv.org/abs/1801.01290
    """

    mean: Float[Array, " act"]
    log_std: Float[Array, " act"]

    def sample_and_log_prob(
        self, *, key: Key
    ) -> tuple[Float[Array, " act"], Float[Array, ""]]:
        base = Gaussian(self.mean, self.log_std)
        x = base.sample(key=key)
        jacobian = 2 * (jnp.log(2.0) - x - jax.nn.softplus(-2 * x))
        return jnp.tanh(x), base.log_prob(x) - jacobian.sum()

    def log_prob(self, action: Float[Array, " act"]) -> Float[Array, ""]:
        """Of an action strictly within `(-1, 1)`."""
        base = Gaussian(self.mean, self.log_std)
        return base.log_prob(jnp.arctanh(action)) - jnp.log1p(-(action**2)).sum()

    def mode(self) -> Float[Array, " act"]:
        return jnp.tanh(self.mean)


class Mixture(eqx.Module):
    """One of several normals, each with independent entries. Bishop, 1994."""

    logits: Float[Array, " part"]
    mean: Float[Array, "part act"]
    log_std: Float[Array, "part act"]

    def sample(self, *, key: Key) -> Float[Array, " act"]:
        k_part, k_noise = jr.split(key)
        i = jr.categorical(k_part, self.logits)
        return Gaussian(self.mean[i], self.log_std[i]).sample(key=k_noise)

    def mode(self) -> Float[Array, " act"]:
        """The likeliest of the means."""
        return self.mean[jax.vmap(self.log_prob)(self.mean).argmax()]

    def log_prob(self, action: Float[Array, " act"]) -> Float[Array, ""]:
        parts = lambda m, s: Gaussian(m, s).log_prob(action)
        each = jax.nn.log_softmax(self.logits) + jax.vmap(parts)(
            self.mean, self.log_std
        )
        return jax.nn.logsumexp(each)


class Binned(eqx.Module):
    """Every entry one of evenly spaced numbers, the first -1 and the last 1, and told
    the entries before it; what lies between two counts as the nearer."""

    net: Autoregressive
    features: Float[Array, " in"]

    def sample(self, *, key: Key) -> Float[Array, " act"]:
        keys = jr.split(key, self.net.choices)
        return self.drawn(lambda i, logits: jr.categorical(keys[i], logits))

    def mode(self) -> Float[Array, " act"]:
        """The likeliest of each entry in turn."""
        return self.drawn(lambda _, logits: logits.argmax())

    def drawn(self, pick: Pick) -> Float[Array, " act"]:
        return unbinned(self.net.unroll(self.features, pick), self.net.options)

    def log_prob(self, action: Float[Array, " act"]) -> Float[Array, ""]:
        """Of the bins that the action lies in."""
        chosen = binned(action, self.net.options)
        likely = jax.nn.log_softmax(self.net(self.features, chosen))
        return jnp.take_along_axis(likely, chosen[:, None], axis=1).sum()


def binned(x: Float[Array, "*n"], options: int) -> Int[Array, "*n"]:
    """The nearest of so many evenly spaced numbers, the first -1 and the last 1."""
    return jnp.round((jnp.clip(x, -1, 1) + 1) / 2 * (options - 1)).astype(jnp.int32)


def unbinned(chosen: Int[Array, "*n"], options: int) -> Float[Array, "*n"]:
    """Those numbers."""
    return 2 * chosen / (options - 1) - 1
