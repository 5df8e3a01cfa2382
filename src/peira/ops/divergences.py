"""How far apart two distributions of actions are, by samples of them.

All are of one state; callers vmap. `x` are draws of the policy, `y` of the behaviour.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .learning import Number


Kernel = Callable[[Float[Array, " act"], Float[Array, " act"]], Float[Array, ""]]
Judge = Callable[[Float[Array, " act"]], Float[Array, ""]]
TINY = 1e-8


def normal_kl(mean: Float[Array, " n"], std: Float[Array, " n"]) -> Float[Array, " n"]:
    """`KL(N(μ, σ) | N(0, 1))` of every entry."""
    return 0.5 * (jnp.square(mean) + jnp.square(std) - 1) - jnp.log(std)


def sampled_kl(
    log_p: Float[Array, " draw"], log_q: Float[Array, " draw"]
) -> Float[Array, ""]:
    """`E_p[log p - log q]`, both densities at draws of p."""
    return (log_p - log_q).mean()


def laplacian(width: Number) -> Kernel:
    """`exp(-|x - y|₁ / width)`."""
    return lambda x, y: jnp.exp(-jnp.abs(x - y).sum() / width)


def gaussian(width: Number) -> Kernel:
    """`exp(-|x - y|₂² / width)`."""
    return lambda x, y: jnp.exp(-jnp.square(x - y).sum() / width)


def squared_mmd(
    x: Float[Array, "n act"], y: Float[Array, "m act"], kernel: Kernel
) -> Float[Array, ""]:
    """`E k(x, x') + E k(y, y') - 2 E k(x, y)` over all pairs, a draw with itself too:
    the squared maximum mean discrepancy, biased upwards. Gretton et al., 2012."""

    def mean(a: Float[Array, "i act"], b: Float[Array, "j act"]) -> Float[Array, ""]:
        return jax.vmap(lambda u: jax.vmap(lambda v: kernel(u, v))(b))(a).mean()

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def dual_kl(
    at_x: Float[Array, "*n"], at_y: Float[Array, "*m"]
) -> tuple[Float[Array, "*n"], Float[Array, "*m"]]:
    """The two parts of a judge c's bound `E_p[log T + 1] - E_q[T] ≤ KL(p | q)`, with
    `T = softplus(c)`; it is met where T = p / q. Nowozin et al., 2016."""
    return jnp.log(jax.nn.softplus(at_x) + TINY) + 1, jax.nn.softplus(at_y)


def wasserstein(
    at_x: Float[Array, "*n"], at_y: Float[Array, "*m"]
) -> tuple[Float[Array, "*n"], Float[Array, "*m"]]:
    """The two parts of `E_p[c] - E_q[c]`: the distance, for the best judge c that
    nowhere rises by more than 1 per unit. Arjovsky et al., 2017."""
    return at_x, at_y


def steepness(judge: Judge, at: Float[Array, " act"]) -> Float[Array, ""]:
    """`max(0, |∇c| - 1)²`: by how much a judge is too steep. Gulrajani et al., 2017,
    one-sided."""
    slope = jnp.sqrt(jnp.square(jax.grad(judge)(at)).sum() + TINY)
    return jnp.square(jnp.maximum(slope - 1, 0.0))
